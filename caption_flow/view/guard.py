"""View: who may see the pages.

Who sits at this host needs nothing. But a page of somebody else, in a browser here, may have given
its own name our address: so the request must ask for this host by a name that needs no name server.
Elsewhere a token is demanded, in a header, which no other page can send.
"""

import hmac
from ipaddress import ip_address

from msgspec import Struct

from caption_flow.web.site import Answer, Asked, Page, refused

_FROM_HERE = frozenset({"", "none", "same-origin"})  # of Sec-Fetch-Site
_BEARER = "bearer "


class Guard(Struct, frozen=True):
    """Lets in who sits here, or has the token where there is one."""

    token: str | None = None

    def before(self, page: Page, *, public: bool) -> Page:
        """Put ourselves before a page; one that is public holds nothing of a job."""

        async def guarded(asked: Asked) -> Answer:
            return self._refusal(asked, public=public) or await page(asked)

        return guarded

    def _refusal(self, asked: Asked, *, public: bool) -> Answer | None:
        if self.token is None:
            return None if asks_for_here(asked) else refused(403, _ELSEWHERE)
        if public or _has(asked, self.token):
            return None
        return refused(401, _NO_TOKEN, {"WWW-Authenticate": "Bearer"})


_ELSEWHERE = "Ask for this page as http://127.0.0.1 with its port, from this host."
_NO_TOKEN = "Open this page by the address that was printed when it was started: it has a token."  # noqa: S105


def asks_for_here(asked: Asked) -> bool:
    """Whether a request is for this host by a plain name, and from a page of ours if any."""
    host = asked.headers.get("host", "").strip()
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    named = bare.lower() == "localhost" or is_loopback(bare)
    return named and asked.headers.get("sec-fetch-site", "") in _FROM_HERE


def is_loopback(address: str) -> bool:
    """Whether an address is this host's own; no name is one."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _has(asked: Asked, token: str) -> bool:
    said = asked.headers.get("authorization", "")
    shown = said[len(_BEARER) :].strip() if said.lower().startswith(_BEARER) else ""
    return hmac.compare_digest(shown.encode(), token.encode())
