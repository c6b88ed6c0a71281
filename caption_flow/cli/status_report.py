"""Command line: a job at a glance, in full and as JSON."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from caption_flow.cli import listing, overview
from caption_flow.cli.contributors_report import board
from caption_flow.codec import records
from caption_flow.monitor.report import document
from caption_flow.monitor.speeds import Speeds
from caption_flow.monitor.workers import workers
from caption_flow.queue.ports import Snapshot

_MEMBERS = 50  # shown of a role
_SHARDS = 10  # shown
_WIDEST_CHART = 60


def as_json(job: str, snapshot: Snapshot) -> str:
    """Write everything as one document."""
    return records.encode(document(job, snapshot)).decode()


def report(
    job: str,
    snapshot: Snapshot,
    speeds: Speeds,
    width: int,
    *,
    contributors: bool = True,
    graph: bool = True,
    ascii_only: bool = False,
) -> RenderableType:
    """Show a job, as wide as there is room."""
    shown: list[RenderableType] = [
        overview.headline(job, snapshot),
        Text(),
        *overview.limiting(snapshot),
        *overview.standing(snapshot, width),
    ]
    if graph and len(snapshot.history) > 1:
        room = min(_WIDEST_CHART, width)
        shown += [Text(), overview.throughput(snapshot, room, 1, ascii_only=ascii_only)]
    shown += [Text(), listing.streams(snapshot, width)]
    if snapshot.shards:
        shown += [Text(), listing.shards(snapshot.shards[:_SHARDS], width)]
    shown += _processes(snapshot, speeds, width)
    if contributors and snapshot.leaderboard:
        shown += [Text(), board(snapshot.leaderboard)]
    return Group(*shown)


def _processes(snapshot: Snapshot, speeds: Speeds, width: int) -> Iterator[RenderableType]:
    listed = workers(snapshot, speeds)
    if listed:
        yield Text()
        yield listing.workers(listed[:_MEMBERS], width)
        yield from _rest(len(listed), "workers")
    others = overview.beside_workers(snapshot)
    if others:
        yield Text()
        yield listing.processes(others[:_MEMBERS], snapshot.at, width)
        yield from _rest(len(others), "other processes")


def _rest(count: int, name: str) -> Iterator[RenderableType]:
    if count > _MEMBERS:
        yield Text(f"{_MEMBERS} of {count:,} {name}; --json has all.")
