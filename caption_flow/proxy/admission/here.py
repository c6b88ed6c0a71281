"""Proxy: whether who asks sits at this host, so that no token is needed to look.

Two things look like it and are not: a reverse proxy on this host, which asks for somebody else, and
a page of somebody else in a browser on this host. The first is told by what it adds to a request,
if it adds anything, and else by its user, see web/peer.py; the second by the name it asks for, and
by what the browser says of it.
"""

from websockets.datastructures import Headers

from caption_flow.proxy.admission.origin import Origins
from caption_flow.web.here import asks_for_here, is_loopback

_PASSED_ON = ("forwarded", "via", "x-real-ip", "x-forwarded-", "x-original-", "cf-")
_ELSEWHERE = "192.0.2.1"  # nobody's address


def sits_here(headers: Headers, address: str) -> bool:
    """Whether a request comes from this host, for this host, and from a page of ours if any."""
    return (
        is_loopback(address)
        and len(headers.get_all("Host")) == 1
        and asks_for_here(headers["Host"], headers.get("Sec-Fetch-Site", ""))
        and not any(name.lower().startswith(_PASSED_ON) for name in headers)
    )


def stands_in(origins: Origins) -> bool:
    """Whether what comes from this host is believed to come for others: a balancer runs here."""
    return any(origins.of(one, [_ELSEWHERE]) == _ELSEWHERE for one in ("127.0.0.1", "::1"))
