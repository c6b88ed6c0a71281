"""Fetch: the body of an answer, read into memory up to a limit."""

from typing import Protocol

from caption_flow.fetch.exchange import Exchange
from caption_flow.fetch.failures import TOO_MANY_BYTES, TRUNCATED, FetchFailed


class Share(Protocol):
    """Memory that a download is granted; whoever has none to give raises."""

    def take(self, count: int) -> None:
        """Ask for room for so many bytes more."""
        ...

    def drop(self) -> None:
        """Give back all: what was read is thrown away."""
        ...


class Unlimited:
    """A share for those who bound their memory otherwise."""

    def take(self, count: int) -> None:
        """Grant it."""

    def drop(self) -> None:
        """Forget it."""


async def read_body(
    exchange: Exchange, share: Share, *, skip: int, length: int | None, max_bytes: int
) -> bytes:
    """Read what follows the first bytes: so many, or all, and never more than the limit."""
    if length is not None and length > max_bytes:
        raise _too_many(f"it has {length:,} bytes; the limit is {max_bytes:,}")
    last = None if length is None else skip + length  # bytes of the body that we need
    chunks: list[bytes] = []
    read = 0
    while (last is None or read < last) and (chunk := await exchange.read()):
        part = chunk[max(0, skip - read) : None if last is None else last - read]
        read += len(chunk)
        if last is None and read - skip > max_bytes:
            raise _too_many(f"it has more than {max_bytes:,} bytes")
        share.take(len(part))
        chunks.append(part)
    if last is not None and read < last:
        raise FetchFailed(TRUNCATED, f"{max(0, read - skip):,} bytes came of {length:,}")
    if last is not None and exchange.answer.length == read:
        await exchange.read()  # its end, so that the connection can be used again
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_many(detail: str) -> FetchFailed:
    return FetchFailed(TOO_MANY_BYTES, detail)
