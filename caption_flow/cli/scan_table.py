"""Command line: what a scan found, as tables with the verdict below."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from caption_flow.audit.tally import Tally
from caption_flow.cli.scan_report import Report, sentences, verdict
from caption_flow.cli.showing import console_here
from caption_flow.plain import printable

_MOST = 50  # rows of a table, unless all are asked for


def show(report: Report, *, every_chunk: bool) -> None:
    """Print the shards, the chunks that matter, what is to be said, and the verdict."""
    console = console_here()
    found = report.findings
    chunks = {chunk: tally for chunks in found.chunks.values() for chunk, tally in chunks.items()}
    shards = found.shards
    console.print(_table("shard", _few(shards), total=found.totals))
    _say_rest(console, shards, "shards are listed; --json has all")
    if every_chunk:
        console.print(_table("chunk", chunks))
    elif wrong := _wrong(chunks):
        console.print(_table("chunk", _first(wrong)))
        _say_rest(console, wrong, "chunks that do not balance are listed; --chunks has all")
    for sentence in [*sentences(report), verdict(found)]:
        console.print(Text(printable(sentence)), soft_wrap=True)


def _few(tallies: Mapping[str, Tally]) -> Mapping[str, Tally]:
    """Keep some where there are too many, those that do not balance before the others."""
    return tallies if len(tallies) <= _MOST else _first(_wrong(tallies) | dict(tallies))


def _wrong(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: tally for name, tally in tallies.items() if not tally.balanced}


def _first(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    return dict(list(tallies.items())[:_MOST])


def _say_rest(console: Console, tallies: Mapping[str, Tally], what: str) -> None:
    if len(tallies) > _MOST:
        console.print(f"{_MOST} of {len(tallies):,} {what}.")


def _table(heading: str, tallies: Mapping[str, Tally], total: Tally | None = None) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=total is not None)
    footer = total.figures() if total else {}
    table.add_column(heading, footer="total", overflow="fold")
    for name in Tally().figures():
        count = f"{footer.get(name, 0):,}"
        table.add_column(name.replace("_", " "), footer=count, justify="right", no_wrap=True)
    for name, tally in tallies.items():
        counts = (f"{count:,}" for count in tally.figures().values())
        table.add_row(Text(printable(name)), *counts)
    return table
