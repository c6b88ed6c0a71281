"""Worker: where the image of a sample is fetched from, and what is said there of ourselves.

References come from a queue that strangers may write to. Whom the worker's own token is for, and
where the hub is, only its own environment says.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from caption_flow.fetch import FetchFailed
from caption_flow.fetch.failures import BAD_URL
from caption_flow.model import Reference

HUB = "https://huggingface.co"
_TOKENS = ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_PATH = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=@/-]{1,4096}")  # of URLs, without ":", "?", "#"
_FILES = "resolve"  # stands in the path of every file, and in no path of the hub's own services
_DECODINGS = 3  # servers and what stands before them decode once or twice


class Hub(Struct, frozen=True):
    """The hub as this worker knows it."""

    endpoint: str = HUB
    token: str = ""
    of_others: bool = False  # whose job it is that names files there

    @classmethod
    def of(cls, environ: Mapping[str, str], *, of_others: bool = False) -> "Hub":
        """Read it from the variables that the hub's own tools read.

        A job of others is shown no token: it could name what only we may read. Nor is it led into
        our own network, wherever the hub may be.
        """
        token = next(filter(None, (environ.get(name, "").strip() for name in _TOKENS)), "")
        endpoint = (environ.get("HF_ENDPOINT") or HUB).strip().rstrip("/")
        return cls(endpoint, "" if of_others else token, of_others)

    @property
    def trusted(self) -> tuple[tuple[str, int], ...]:
        """Host and port of a hub that our own operator named: wherever it is, it is meant."""
        _, host, port = _origin(self.endpoint)
        return (
            () if self.of_others or self.endpoint == HUB or not (host and port) else ((host, port),)
        )

    def headers(self, url: str) -> dict[str, str]:
        """Say what is sent along with a request for a URL: the token, to the hub only."""
        if not self.token or _origin(url) != _origin(self.endpoint):
            return {}
        return {"Authorization": f"Bearer {self.token}"}

    def locate(self, reference: Reference) -> str:
        """Give the URL of an image; a reference that leads elsewhere is a FetchFailed."""
        if not reference.hub:
            return reference.url
        if not _is_plain(reference.url):
            detail = "it is refused: it should be the path of a file on the hub, and is not one"
            raise FetchFailed(BAD_URL, detail)
        return f"{self.endpoint}/{reference.url}"


def _is_plain(path: str) -> bool:
    """Tell a path that leads down to a file from all others, however it is encoded."""
    if not _PATH.fullmatch(path) or _FILES not in path.split("/"):
        return False
    for _ in range(_DECODINGS):
        if "\\" in path or {"", ".", ".."} & set(path.split("/")):
            return False
        path = unquote(path)
    return True


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
