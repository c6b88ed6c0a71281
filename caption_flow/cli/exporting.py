"""Command line: dead letters for programs, as lines of JSON or as CSV."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO

from msgspec import Struct

from caption_flow.codec import records
from caption_flow.model import DeadLetter
from caption_flow.queue.ports import Letters


async def export(letters: Letters, file: BinaryIO, *, as_csv: bool) -> int:
    """Write letters as they come; answers how many."""
    write = _csv_writer(file) if as_csv else _json_writer(file)
    count = 0
    async for batch in letters:
        for letter in batch:
            write(letter)
        count += len(batch)
    return count


def as_line(letter: DeadLetter) -> bytes:
    """Write a letter as one line of JSON."""
    return records.encode(letter) + b"\n"


def _json_writer(file: BinaryIO) -> Callable[[DeadLetter], object]:
    return lambda letter: file.write(as_line(letter))


class _Text(Struct):
    """Takes text for a file of bytes; what is not UTF-8 is escaped, as in JSON."""

    file: BinaryIO

    def write(self, text: str) -> int:
        return self.file.write(text.encode("utf-8", "backslashreplace"))


def _csv_writer(file: BinaryIO) -> Callable[[DeadLetter], object]:
    writer = csv.writer(_Text(file))
    writer.writerow(_COLUMNS)
    return lambda letter: writer.writerow(read(letter) for read in _COLUMNS.values())


_COLUMNS: dict[str, Callable[[DeadLetter], Any]] = {
    "id": lambda letter: letter.sample.id,
    "reason": lambda letter: letter.failure.reason,
    "detail": lambda letter: letter.failure.detail,
    "stage": lambda letter: letter.failure.stage,
    "attempt": lambda letter: letter.failure.attempt,
    "member": lambda letter: letter.failure.member,
    "given_up_at": lambda letter: datetime.fromtimestamp(letter.failure.at, UTC).isoformat(),
    "earlier": lambda letter: _json(letter.earlier),
    "dataset": lambda letter: letter.sample.dataset,
    "shard": lambda letter: letter.sample.shard,
    "source": lambda letter: letter.sample.source,
    "columns": lambda letter: _json(letter.sample.columns),
    "sampling": lambda letter: _json(letter.sample.sampling or {}),
    "letter": lambda letter: letter.entry,
}


def _json(value: Any) -> str:
    return records.encode(value).decode()
