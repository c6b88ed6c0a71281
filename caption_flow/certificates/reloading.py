"""Certificates, renewed: a server's pair of files is watched, and new connections get the new one.

Files are compared by what the system says of them, not by name, so that links which are turned to
other files count as well, as certbot does it. A pair is loaded once it has kept still for a moment,
since certificate and key are not replaced in one step.
"""

import asyncio
import logging
import os
import ssl
from pathlib import Path
from typing import TypeAlias

from caption_flow.certificates.contexts import server_context
from caption_flow.certificates.look import chain, spelled
from caption_flow.errors import CertificateUnfit
from caption_flow.lifecycle import Beside

logger = logging.getLogger(__name__)

_Marks: TypeAlias = tuple[tuple[int, ...], ...]  # what the system says of the files


class Reloading(Beside):
    """A server's certificate and key that follow their files for as long as this is entered."""

    def __init__(self, cert: Path, key: Path, *, seconds: float = 1.0) -> None:
        self._files = (cert, key)
        self._seconds = seconds
        # Before they are loaded: what changes meanwhile is seen as a change.
        self._loaded = _marks(self._files)
        self._latest = server_context(cert, key)
        self._fingerprint = chain(cert)[0].fingerprint
        self.context = self._latest  # for the server, once and for all
        self.context.sni_callback = self._show_latest

    async def _run(self) -> None:
        before = self._loaded
        while True:
            await asyncio.sleep(self._seconds)
            now = await asyncio.to_thread(_marks, self._files)
            if now == before != self._loaded:
                self._loaded = now
                await asyncio.to_thread(self._load)
            before = now

    def _load(self) -> None:
        """Load the files as they are now, or keep what was there and say why."""
        cert, key = self._files
        try:
            latest, first = server_context(cert, key), chain(cert)[0]
        except CertificateUnfit as exc:
            logger.warning("Connections go on getting the certificate from before: %s", exc)
            return
        # Only now, so that a bad pair has touched nothing that is in use.
        self._latest = latest
        if first.fingerprint != self._fingerprint:
            self._fingerprint = first.fingerprint
            logger.info(
                "New connections get the new certificate of %s, serial %s, valid until %s",
                *(cert, first.serial, spelled(first.ends)),
            )

    def _show_latest(
        self,
        connection: ssl.SSLObject,
        _name: str | None,  # None: the client has named no host; it is called all the same
        _context: ssl.SSLContext,
    ) -> None:
        connection.context = self._latest


def _marks(files: tuple[Path, ...]) -> _Marks:
    return tuple(map(_mark, files))


def _mark(file: Path) -> tuple[int, ...]:
    try:
        found = os.stat(file)  # noqa: PTH116 - where links lead
    except OSError as exc:
        return (-(exc.errno or 0),)
    # The time of a change of state: permission that was missing may have been given.
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_dev, found.st_ino, found.st_size, *times)
