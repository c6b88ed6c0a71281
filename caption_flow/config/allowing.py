"""What the operator of a worker allows a job of others: models, and servers with their keys.

URLs are compared by their parts. Only those are read that every reader takes apart alike: no user
or password, no `%`, no backslash, no `..`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Self

from msgspec import Struct

from caption_flow.config.words import shown

_URL = re.compile(
    r"(https?)://([a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])\.?(?::([0-9]{1,5}))?"
    r"((?:/[a-z0-9._~:-]+)*)/*",
    re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}
_UPWARD = frozenset({".", ".."})
_VARIABLE = re.compile(r"[A-Z0-9_]*API_KEY")
_NAMED = re.compile(r"[^\s*]+")
_ALL_OF = "/*"  # end of what names all models of an organization


class PlainUrl(Struct, frozen=True):
    """An http or https URL that can be read in one way only."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Take a URL apart; None where it is not a plain one."""
        found = _URL.fullmatch(text)
        if found is None:
            return None
        scheme, path = found[1].lower(), tuple(found[4].split("/")[1:])
        port = int(found[3] or _PORTS[scheme])
        if _UPWARD & set(path) or not 0 < port < 1 << 16:
            return None
        return cls(scheme, found[2].lower(), port, path)

    def covers(self, other: "PlainUrl") -> bool:
        """Whether the other is this, or below it on the same server."""
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and other.path[: len(self.path)] == self.path

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return "/".join((f"{self.scheme}://{self.host}{port}", *self.path))


class AllowedEndpoint(Struct, frozen=True):
    """A server that images of others may be sent to, and the variable with our key for it."""

    url: PlainUrl
    key: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read "URL" or "URL VARIABLE"; None where it is neither."""
        url, *rest = text.split() or [""]
        plain = PlainUrl.parse(url)
        if plain is None or len(rest) > 1 or not all(map(_VARIABLE.fullmatch, rest)):
            return None
        return cls(plain, *rest)


def is_allowed(model: str, revision: str | None, allowed: Iterable[str]) -> bool:
    """Whether a model is named, as ORG/NAME or ORG/*, and its revision as ORG/NAME@REVISION."""
    asked = model if revision is None else f"{model}@{revision}"
    organization = "" if revision is not None else model.rpartition("/")[0] + _ALL_OF
    return any(name in {asked, organization} for name in allowed)


def mistakes(allow_models: Iterable[str], allow_endpoints: Iterable[str]) -> Iterator[str]:
    """Say which models and servers a worker's document names in a way that cannot be meant."""
    for name in allow_models:
        if not _NAMED.fullmatch(name.removesuffix(_ALL_OF)):
            yield (
                f"allow_models holds {shown(name)}; expected a model as ORG/NAME, all of an "
                "organization as ORG/*, or one revision as ORG/NAME@REVISION"
            )
    for text in allow_endpoints:
        if AllowedEndpoint.parse(text) is None:
            yield (
                f"allow_endpoints holds {shown(text)}; expected the beginning of a URL, such as "
                "https://api.example.com/v1, and after a blank the variable that holds the key "
                "for it, whose name ends in API_KEY"
            )
