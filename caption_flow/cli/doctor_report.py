"""Command line: what the doctor has found, as a table and as one JSON document."""

from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from caption_flow.cli.showing import console_here
from caption_flow.doctor.finding import Finding, State
from caption_flow.plain import printable

_STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


def show(findings: Sequence[Finding]) -> None:
    """Print one row for each finding, its cure below it."""
    console = console_here()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        state = Text(one.state, style=_STYLES[one.state])
        table.add_row(state, Text(one.check), Text(printable(one.said)))
        if one.cure:
            table.add_row("", "", Text(f"→ {printable(one.cure)}"))
    console.print(table)


def as_json(findings: Sequence[Finding]) -> str:
    """Write everything as one document."""
    states = Counter(one.state for one in findings)
    document = {
        "good": not states["problem"],
        "problems": states["problem"],
        "warnings": states["warning"],
        "findings": findings,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def sum_up(findings: Sequence[Finding]) -> str:
    """Say in a line how many things are wrong."""
    states = Counter(one.state for one in findings)
    wrong = f"{_count(states['problem'], 'problem')} and {_count(states['warning'], 'warning')}"
    return f"{wrong}; {states['ok']} checks are fine, {states['skipped']} were skipped."


def _count(count: int, thing: str) -> str:
    return f"{count or 'no'} {thing}{'' if count == 1 else 's'}"
