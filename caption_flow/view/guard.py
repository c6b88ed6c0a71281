"""View: who may see the pages.

Who sits at this host needs nothing, but what is asked must be for this host, see web/here.py.
Elsewhere a token is demanded, in a header, which no other page can send.
"""

import hmac

from msgspec import Struct

from caption_flow.web.here import asks_for_here
from caption_flow.web.site import Answer, Asked, Page, refused

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
            return None if _from_here(asked) else refused(403, _ELSEWHERE)
        if public or _has(asked, self.token):
            return None
        return refused(401, _NO_TOKEN, {"WWW-Authenticate": "Bearer"})


_ELSEWHERE = "Ask for this page as http://127.0.0.1 with its port, from this host."
_NO_TOKEN = "Open this page by the address that was printed when it was started: it has a token."  # noqa: S105


def _from_here(asked: Asked) -> bool:
    return asks_for_here(asked.headers.get("host", ""), asked.headers.get("sec-fetch-site", ""))


def _has(asked: Asked, token: str) -> bool:
    said = asked.headers.get("authorization", "")
    shown = said[len(_BEARER) :].strip() if said.lower().startswith(_BEARER) else ""
    return hmac.compare_digest(shown.encode(), token.encode())
