"""Monitor: a job's state as one JSON document, for scripts and for the page. docs/status.md tells
what each field means.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict

from caption_flow.monitor.limits import limit
from caption_flow.monitor.rates import rates, throughput
from caption_flow.monitor.workers import ceiling
from caption_flow.queue.ports import Snapshot
from caption_flow.queue.ports.contributors import Standing

BOOKS = ("planned", "in_chunks", "in_flight", "captioned", "dead")


def document(job: str, snapshot: Snapshot) -> dict[str, Any]:
    """Put all together that is known."""
    counts = snapshot.counts
    return {
        "job": job,
        "at": snapshot.at,
        "settings_version": snapshot.settings_version,
        "done": counts.done,
        "paused": snapshot.paused,
        "limit": limit(snapshot),
        "rates": rates(snapshot),
        "ceiling": ceiling(snapshot),
        "throughput": throughput(snapshot),
        "books": asdict(counts) | {name: getattr(counts, name) for name in BOOKS},
        "streams": [
            {"stream": one.name, "waiting": one.waiting, "held": one.held, "oldest": one.oldest}
            for one in snapshot.streams
        ],
        "stages": list(stages(snapshot)),
        "shards": snapshot.shards,
        "dead_reasons": snapshot.reasons,
        "members": snapshot.members,
        "leaderboard": [_flat(line) for line in snapshot.leaderboard],
    }


def stages(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Tell of each stage how many samples are in it, and how many are beyond it.

    The books do not tell where samples were given up, nor what those that wait in a stage of former
    settings have passed.
    """
    counts = snapshot.counts
    before = 0  # samples that are in this stage or in one before it
    for stream in snapshot.streams:
        if stream.stage:
            before += stream.waiting + stream.held
            left = max(0, counts.offered - counts.dead - before)
            told = {"waiting": stream.waiting, "held": stream.held, "passed": left}
            yield {"stage": stream.stage, **told}


def _flat(line: Standing) -> dict[str, Any]:
    told = asdict(line)
    return told | asdict(told.pop("credit"))
