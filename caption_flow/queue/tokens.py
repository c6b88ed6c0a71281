"""Queue: Tokens and TokenBook on Redis. Only hashes of tokens are kept.

What was said of a token stays, also that it was removed: a proxy that brings back what Redis has
forgotten would else bring back those who were removed meanwhile.
"""

import logging
import re
from typing import Any

import msgspec

from caption_flow.grants import Grant, Role
from caption_flow.queue.border import translated
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports.tokens import Word, Words

logger = logging.getLogger(__name__)

_VERSION = "version"  # of all words; their fields have a colon

_SHA256 = re.compile(r"[0-9a-f]{64}")
_grant = msgspec.json.Decoder(Grant)


class RedisTokens:
    """Tokens and TokenBook, see ports."""

    def __init__(self, job: RedisJob) -> None:
        self._job = job
        self._key = job.keys.tokens

    async def grants(self) -> list[Grant]:
        """Read the tokens that are good or have expired."""
        _, words = await self.read()
        return [word.grant for _, word in sorted(words.items()) if word.grant is not None]

    async def put(self, grant: Grant, *, instead_of: str | None = None) -> bool:
        """Add a token, or put it in the place of another of its role and name, by SHA-256."""
        done, _ = await self._edit(
            grant.role, grant.name, msgspec.json.encode(grant), instead_of or ""
        )
        return bool(done)

    async def remove(self, name: str, role: Role) -> Grant | None:
        """Remove a token for good; answers what it was. None: there was none."""
        _, before = await self._edit(role, name, b"", "any")
        found = _word(name.encode(), b"0 " + before)
        return None if found is None else found.grant

    async def mark(self) -> str | None:
        """Tell what is said of all tokens from what was or will be; None while nothing is."""
        with translated():
            mark = await self._job.client.hget(self._key, _VERSION)
        return None if mark is None else str(mark.decode())

    async def read(self) -> tuple[str | None, Words]:
        """Read what was said last of each token, and its mark."""
        with translated():
            fields = await self._job.client.hgetall(self._key)
        mark = fields.pop(_VERSION.encode(), None)
        words = {
            field.decode(errors="replace"): _word(field, value) for field, value in fields.items()
        }
        return (
            None if mark is None else mark.decode(),
            {field: word for field, word in words.items() if word is not None},
        )

    async def remind(self, words: Words) -> None:
        """Say what was said should it be forgotten; what was said later stays."""
        args: list[Any] = []
        for field, word in words.items():
            said = b"" if word.grant is None else msgspec.json.encode(word.grant)
            args += (field, b"%d %s" % (word.stamp, said))
        await self._job.scripts.run("remember_tokens", [self._key], args)

    async def _edit(self, role: Role, name: str, said: bytes, instead_of: str) -> Any:
        field = field_of(role, name)
        return await self._job.scripts.run("edit_token", [self._key], [field, said, instead_of])


def field_of(role: Role, name: str) -> str:
    """Name the token of a contributor among those of the job."""
    return f"{role}:{name}"


def _word(field: bytes, value: bytes) -> Word | None:
    """Read a word; None where it cannot be read, which lets nobody in."""
    stamp, _, said = value.partition(b" ")
    try:
        grant = _grant.decode(said) if said else None
        if grant is None or _SHA256.fullmatch(grant.sha256):
            return Word(int(stamp), grant)
    except ValueError:  # msgspec's errors are such too
        pass
    logger.warning("What Redis holds of the token %r cannot be read; add it anew", field)
    return None
