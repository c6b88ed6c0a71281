"""Command line: what contributors have done, as tables, as JSON and for a data set's card."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import asdict
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from caption_flow.cli.letters import local
from caption_flow.cli.showing import console_here
from caption_flow.codec import records
from caption_flow.plain import in_markdown, printable
from caption_flow.queue.ports import Member
from caption_flow.queue.ports.checks import Disagreement
from caption_flow.queue.ports.contributors import OWN, Contributor, Standing, leaderboard

_AGAINST = {"known": "known to be", "again": "made again"}  # in what a disagreement stands
_HOUR = 3600.0


def table(entries: Sequence[Contributor]) -> Table:
    """List contributors, those with the most captions first."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("contributor", overflow="fold")
    for name in ("captions", "tokens", "hours", "failures"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("last seen", no_wrap=True)
    for one in sorted(entries, key=lambda one: (-one.credit.captions, one.name)):
        counts = (one.credit.captions, one.credit.output_tokens)
        seen = local(one.last_seen) if one.last_seen else ""
        figures = (*(f"{count:,}" for count in counts), _hours(one.seconds), f"{one.failures:,}")
        made.add_row(Text(_name(one)), *figures, seen)
    return made


def board(standings: Iterable[Standing]) -> Table:
    """Show a leaderboard; nobody is named in it who wants not to be."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("", justify="right")
    made.add_column("contributor", overflow="fold")
    for name in ("captions", "tokens", "hours"):
        made.add_column(name, justify="right", no_wrap=True)
    for rank, name, *figures in map(_line, standings):
        made.add_row(rank, Text(printable(name)), *figures)
    return made


def as_line(one: Contributor) -> str:
    """Write all that is known of a contributor as one line of JSON."""
    told = asdict(one)
    del told["credit"]
    return records.encode({"name": one.name} | asdict(one.credit) | told).decode()


def markdown(entries: Iterable[Contributor]) -> str:
    """Write the section of a data set's card that says who captioned it."""
    lines = ["## Contributors", "", "| | contributor | captions | tokens | hours |"]
    lines.append("|---:|:---|---:|---:|---:|")
    for rank, name, *figures in map(_line, leaderboard(entries)):
        lines.append(f"| {rank} | {in_markdown(name)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def in_full(
    one: Contributor, days: Mapping[str, int] | None, workers: Iterable[Member]
) -> Iterator[str]:
    """Spell out everything of a contributor; `days` are unknown where the parts are elsewhere."""
    yield _name(one)
    for name, value in _details(one):
        if value:
            yield f"  {name:<13} {value}"
    for day, count in sorted((days or {}).items()):
        yield f"  {day:<13} {count:,} captions"
    for worker in sorted(workers, key=lambda member: member.name):
        yield f"  {'worker':<13} {printable(f'{worker.name}, {worker.state}, on {worker.host}')}"


def disagreements(found: Iterable[Disagreement]) -> Iterator[str]:
    """Spell out where a contributor's captions say something else, the newest first."""
    for one in found:
        yield ""
        yield f"  {local(one.at)}  {printable(one.sample)}, {one.agreement:.2f} alike"
        yield f"    {_AGAINST[one.kind]:<16} {printable(one.expected)}"
        yield f"    {'it said':<16} {printable(one.given)}"


def _details(one: Contributor) -> Iterator[tuple[str, str]]:
    yield "captions", f"{one.credit.captions:,}"
    yield "prompt tokens", f"{one.credit.prompt_tokens:,}"
    yield "output tokens", f"{one.credit.output_tokens:,}"
    yield "failures", f"{one.failures:,}"
    yield "time", f"{_hours(one.seconds)} hours"
    if one.checked:
        share, mean = one.agreed / one.checked, one.agreement / one.checked
        told = f"{one.checked:,}, of which {one.agreed:,} agreed ({share:.0%})"
        yield "checked", f"{told}; {mean:.2f} alike on average"
    if one.unanswered:
        yield "unanswered", f"{one.unanswered:,} samples whose captions are known"
    yield "first seen", local(one.first_seen) if one.first_seen else ""
    yield "last seen", local(one.last_seen) if one.last_seen else ""
    yield "named", "no, it wants not to be" if one.anonymous else ""


def _line(standing: Standing) -> tuple[str, ...]:
    credit = standing.credit
    figures = (f"{credit.captions:,}", f"{credit.output_tokens:,}", _hours(standing.seconds))
    return str(standing.rank or ""), standing.title, *figures


def _name(one: Contributor) -> str:
    if not one.name:
        return OWN
    return printable(one.name) + (" (anonymous)" if one.anonymous else "")


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR:,.1f}"


def show(made: RenderableType) -> None:
    """Print tables; where there is no terminal, a line of output is a row."""
    console = console_here()
    console.print(made)
