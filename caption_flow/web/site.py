"""Web: what is asked over HTTP and what is answered, without a socket.

Only GET and HEAD: a browser can look at things here, and change nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Struct, field

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

# What each answer says, so that no browser does with it what we did not mean.
SAFE: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MOST_FIELDS = 50  # of a query


class Asked(Struct, frozen=True):
    """A request."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    address: str = ""  # of the host at the other end; "" where it is gone already

    @classmethod
    def of(cls, target: str, headers: Mapping[str, str], address: str) -> "Asked":
        """Take a request's target apart; one that cannot be is asked for as it stands."""
        try:
            parts = urlsplit(target)
            query = dict(
                parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
            )
        except ValueError:
            return cls(target, {}, headers, address)
        return cls(unquote(parts.path), query, headers, address)


class Answer(Struct, frozen=True):
    """What is answered."""

    body: bytes = b""
    kind: str = TEXT
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)  # beside SAFE, or instead of it


Page: TypeAlias = Callable[[Asked], Awaitable[Answer]]


class Site:
    """Pages by their paths; one that ends with a slash has all below it, but for the root."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = dict(pages)

    def page(self, path: str) -> Page | None:
        """Find the page of a path; None where there is none."""
        if path in self._pages:
            return self._pages[path]
        folders = [place for place in self._pages if place.endswith("/") and place != "/"]
        above = [place for place in folders if path.startswith(place)]
        return self._pages[max(above, key=len)] if above else None


def told(thing: object, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(msgspec.json.encode(thing), JSON, status)


def refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a sentence on what is wrong, and what to do."""
    return Answer(f"{sentence}\n".encode(), TEXT, status, headers or {})
