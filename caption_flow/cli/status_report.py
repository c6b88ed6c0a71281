"""Command line: a job at a glance, as tables and as JSON."""

import time
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from caption_flow.cli.contributors_report import board
from caption_flow.cli.letters import printable
from caption_flow.codec import records
from caption_flow.model import Counts
from caption_flow.monitor.report import BOOKS, document
from caption_flow.queue.ports import Member, Snapshot

_MEMBERS = 50  # shown


def as_json(job: str, snapshot: Snapshot) -> str:
    """Write everything as one document."""
    return records.encode(document(job, snapshot)).decode()


def tables(job: str, snapshot: Snapshot, *, contributors: bool = True) -> RenderableType:
    """Show a job: its books, streams, members and, if wanted, its leaderboard."""
    shown: list[RenderableType] = [
        Text(_headline(job, snapshot)),
        _books(snapshot.counts),
        _streams(snapshot),
    ]
    if snapshot.members:
        shown.append(_members(snapshot.members))
    if len(snapshot.members) > _MEMBERS:
        shown.append(Text(f"{_MEMBERS} of {len(snapshot.members):,} members; --json has all."))
    if contributors and snapshot.leaderboard:
        shown.append(board(snapshot.leaderboard))
    return Group(*shown)


def _headline(job: str, snapshot: Snapshot) -> str:
    counts = snapshot.counts
    state = "done" if counts.done else "planned" if counts.plan_done else "being planned"
    return f"{printable(job)}: {state}, settings of version {snapshot.settings_version}"


def _books(counts: Counts) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in BOOKS:
        made.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    made.add_row(*(f"{getattr(counts, name):,}" for name in BOOKS))
    return made


def _streams(snapshot: Snapshot) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("stream")
    for name in ("waiting", "held"):
        made.add_column(name, justify="right", no_wrap=True)
    for one in snapshot.streams:
        made.add_row(Text(printable(one.name)), f"{one.waiting:,}", f"{one.held:,}")
    return made


def _members(members: Sequence[Member]) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("role", "member", "state", "host", "seen"):
        made.add_column(name, overflow="fold")
    made.add_column("figures", overflow="ellipsis", no_wrap=True)
    now = time.time()
    for one in sorted(members, key=lambda one: (one.role, one.name))[:_MEMBERS]:
        seen = f"{max(0.0, now - one.seen):.0f} s ago"
        figures = ", ".join(_figures(one))
        cells = (one.role, one.name, one.state, one.host, seen, figures)
        made.add_row(*(Text(printable(cell)) for cell in cells))
    return made


def _figures(member: Member) -> Iterator[str]:
    for name, value in member.figures.items():
        yield f"{name} {value:,.0f}" if value == int(value) else f"{name} {value:,.1f}"
