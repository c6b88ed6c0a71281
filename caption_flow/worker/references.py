"""Worker: the images that samples refer to, read where they lie.

Each claimed sample has a download of its own, so that none waits for another; how many run at
once, and from one host, the client decides.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from caption_flow.errors import CutOff
from caption_flow.fetch import Fetched, FetchFailed, Request
from caption_flow.fetch.failures import CHANGED, TIMEOUT, UNREACHABLE
from caption_flow.model import Reference
from caption_flow.worker.held import Download, NoRoom
from caption_flow.worker.locate import Hub

if TYPE_CHECKING:
    from caption_flow.fetch import Client

JUDGE_SECONDS = 5.0  # in which another host should answer, where it is not we that are cut off
STORE_TRIES = 8  # images of archives or the hub, none of which was to be had
_NAMED = 8  # silent hosts that an error names
_SILENT = frozenset({UNREACHABLE, TIMEOUT})


class References:
    """Fetches images; connects to nothing before it is asked for one."""

    def __init__(
        self, connect: Callable[[], "Client"], hub: Hub, *, at_once: int, max_bytes: int
    ) -> None:
        self.at_once = at_once  # downloads, at most
        self._connect = connect
        self._client: Client | None = None
        self._hub = hub
        self._max_bytes = max_bytes  # of one image
        self._silent: dict[str, None] = {}  # hosts that failed since one last gave an image
        self._known = asyncio.Event()  # whether it is them or us
        self._withheld = 0  # images that archives and the hub did not give since they gave one

    async def read(self, reference: Reference, share: Download) -> bytes:
        """Fetch an image. Raises FetchFailed, or CutOff where it is this host that has no way."""
        self._client = client = self._client or self._connect()
        url = self._hub.locate(reference)
        request = Request(url, self._max_bytes, reference.start, reference.length)
        try:
            body = await self._fetch(client, request, share, reference.version)
        except FetchFailed as exc:
            share.drop()
            if exc.reason in _SILENT:
                self._count_withheld(reference)
                await self._judge(client, url, exc)
            raise
        self._silent.clear()
        self._known.set()
        self._withheld = 0
        return body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, exc, where)

    async def _fetch(
        self, client: "Client", request: Request, share: Download, version: str
    ) -> bytes:
        """Fetch in the room there is, however often that means beginning anew."""
        while True:
            await share.room()
            try:
                fetched = await client.fetch(request, share)
            except NoRoom:
                share.drop()
            else:
                return _expected(fetched, version)

    def _count_withheld(self, reference: Reference) -> None:
        # Links of a list rot one by one; an archive or the hub is there for all samples or none.
        self._withheld += reference.hub or reference.start is not None

    def _is_cut_off(self, client: "Client") -> bool:
        return client.cut_off or self._withheld >= STORE_TRIES

    async def _judge(self, client: "Client", url: str, exc: FetchFailed) -> None:
        """Raise CutOff if it is we and not the host that have no way, once that can be told.

        Until then its sample waits: an attempt that never left this host should cost it nothing.
        """
        if len(self._silent) < _NAMED:
            self._silent[urlsplit(url).hostname or url] = None
        if not self._is_cut_off(client):
            self._known.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(JUDGE_SECONDS):
                    await self._known.wait()
        if self._is_cut_off(client):
            self._known.set()
            raise CutOff(self._sentence()) from exc

    def _sentence(self) -> str:
        return (
            f"This host reaches none of {', '.join(self._silent)}: it has no way there, or nobody "
            "answers. Its samples are handed back. Start it again when it has, or set "
            '"dataset.images: inline", so that the feeder reads the images.'
        )


def _expected(fetched: Fetched, version: str) -> bytes:
    """Give the bytes, unless they are of another version, in which others lie at their place."""
    if version and fetched.version and fetched.version != version:
        raise FetchFailed(CHANGED, "it is another version now than the one that was fed")
    return fetched.body
