"""Command line: dead letters for people, as a table or in full."""

from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from caption_flow.cli.showing import console_here
from caption_flow.codec import records
from caption_flow.model import DeadLetter
from caption_flow.plain import printable
from caption_flow.queue.ports import Letters

_FEEDER = "(feeder)"  # who gave up a sample before any stage
_LONGEST = 200  # characters of a detail in the table


class Survey(Struct, frozen=True):
    """Some letters to show, and how many there are of each reason."""

    shown: list[DeadLetter]  # the oldest first
    totals: Counter[str]


async def survey(letters: Letters, limit: int, *, oldest: bool) -> Survey:
    """Count letters by reason, and keep the newest or the oldest of them."""
    kept: deque[DeadLetter] = deque(maxlen=limit)
    totals: Counter[str] = Counter()
    async for batch in letters:
        totals.update(letter.failure.reason for letter in batch)
        kept.extend(batch[: limit - len(kept)] if oldest else batch)
    return Survey(list(kept), totals)


def show_table(letters: list[DeadLetter]) -> None:
    """Print one line for each letter."""
    console = console_here()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("given up", "reason", "stage", "sample"):
        table.add_column(name, overflow="fold")
    table.add_column("detail", overflow="ellipsis", no_wrap=True)
    for letter in letters:
        why = letter.failure
        stage = why.stage or _FEEDER
        cells = (local(why.at), why.reason, stage, letter.sample.id, why.detail[:_LONGEST])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)


def sum_up(totals: Counter[str], shown: int) -> str:
    """Say how many letters there are, by reason."""
    count = totals.total()
    ranked = sorted(totals.items(), key=lambda of: (-of[1], of[0]))
    listed = ", ".join(f"{printable(reason)} {n:,}" for reason, n in ranked)
    rest = f" {shown:,} are shown." if shown < count else ""
    return f"{count:,} dead letters: {listed}.{rest}" if count else "No dead letter fits."


def in_full(letter: DeadLetter) -> str:
    """Spell out everything of a letter."""
    lines = [printable(letter.sample.id)]
    lines += [f"  {name:<9} {printable(value)}" for name, value in _details(letter) if value]
    return "\n".join(lines)


def _details(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    sample, why = letter.sample, letter.failure
    yield "reason", why.reason
    yield "detail", why.detail
    yield "given up", f"{local(why.at)} by {why.by}"
    for number, earlier in enumerate(letter.earlier, start=1):
        said = f"{earlier.reason}, {earlier.detail}, {local(earlier.at)} by {earlier.by}"
        yield f"earlier {number}", said
    yield "source", sample.source
    yield "shard", sample.shard
    yield "chunk", sample.chunk
    if sample.width:
        size = f"{sample.width} x {sample.height}, {sample.bytes:,} bytes"
        yield "image", f"{sample.format}, {size}, sha256 {sample.sha256}"
    yield "columns", _json(sample.columns) if sample.columns else ""
    yield "sampling", "" if sample.sampling is UNSET else _json(sample.sampling)
    for outcome in letter.outcomes:
        yield "passed", f"{outcome.stage}: {_json(outcome.outputs)}"
    yield "letter", letter.entry


def local(at: float) -> str:
    """Spell a time for people here."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _json(value: Any) -> str:
    return records.encode(value).decode()
