"""Proxy: whether who asks sits at this host, so that no token is needed to look.

Two things look like it and are not: a reverse proxy on this host, which asks for somebody else, and
a page of somebody else in a browser on this host. The first is told by what it adds to a request,
if it adds anything; the second by the name it asks for, and by what the browser says of it.
"""

from ipaddress import ip_address

from websockets.datastructures import Headers

from caption_flow.proxy.admission.origin import Origins

_PASSED_ON = ("forwarded", "via", "x-real-ip", "x-forwarded-", "x-original-", "cf-")
_OWN = frozenset({"", "none", "same-origin"})  # of Sec-Fetch-Site
_ELSEWHERE = "192.0.2.1"  # nobody's address


def sits_here(headers: Headers, address: str) -> bool:
    """Whether a request comes from this host, for this host, and from a page of ours if any."""
    return (
        _is_loopback(address)
        and _asks_for_here(headers)
        and not any(name.lower().startswith(_PASSED_ON) for name in headers)
        and headers.get("Sec-Fetch-Site", "") in _OWN
    )


def stands_in(origins: Origins) -> bool:
    """Whether what comes from this host is believed to come for others: a balancer runs here."""
    return any(origins.of(one, [_ELSEWHERE]) == _ELSEWHERE for one in ("127.0.0.1", "::1"))


def _asks_for_here(headers: Headers) -> bool:
    """Whether a request names this host as we do not need a name server for."""
    named = headers.get_all("Host")
    if len(named) != 1:
        return False
    host = named[0].strip()
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return bare.lower() == "localhost" or _is_loopback(bare)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
