"""Metrics: a whole job, from a snapshot of it.

The books are gauges: a retry takes dead letters off them, rows may be taken out of parts, and what
was planned may be withdrawn, which a counter must not do. Tokens only ever grow.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client.metrics_core import Metric

from caption_flow.metrics.families import counter, gauge, gauges, one_of
from caption_flow.monitor.budget import ceiling as budget_of
from caption_flow.monitor.limits import Limiting, limit
from caption_flow.monitor.living import is_silent, live
from caption_flow.monitor.rates import Pace, rates
from caption_flow.monitor.report import stages
from caption_flow.monitor.workers import ceiling, reached
from caption_flow.queue.ports import Member, Snapshot

MOST_REASONS = 30  # why samples were given up; more of them are one
MOST_CONTRIBUTORS = 100  # who made most; the others are one
OTHER = "other"

ROLES = ("feed", "worker", "sink", "proxy")
STATES = (
    *("starting", "working", "paused", "waiting", "idle", "reloading", "draining"),
    *("silent", OTHER),  # silent: nothing was heard of it for a while
)


def families(snapshot: Snapshot, *, contributors: bool = False) -> Iterator[Metric]:
    """Tell how a job stands; `contributors`: and who captioned how much."""
    yield from _books(snapshot)
    yield from _streams(snapshot)
    yield from _budget(snapshot)
    yield from _pace(snapshot)
    yield from _members(snapshot)
    yield gauges(
        "dead_letters",
        "Samples given up, by reason: of the newest 5,000 at least, and none that was retried.",
        ("reason",),
        _most(snapshot.reasons, MOST_REASONS),
    )
    if contributors:
        yield gauges(
            "contributor_captions",
            "Captions in the rows of the parts, by who made them.",
            ("contributor",),
            _contributors(snapshot),
        )


def _books(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.counts
    where = {
        "in_chunks": counts.in_chunks,
        "in_flight": counts.in_flight,
        "captioned": counts.captioned,
        "dead": counts.dead,
    }
    yield gauge("samples_planned", "Samples that the job has, as far as known.", counts.planned)
    yield gauges(
        "samples",
        "Samples by where they are; together they are those that are planned.",
        ("state",),
        {(state,): number for state, number in where.items()},
    )
    yield gauge("captions_unwritten", "Finished samples that no part has.", counts.unwritten)
    yield counter("prompt_tokens", "Tokens of prompts that were captioned.", counts.prompt_tokens)
    yield counter("output_tokens", "Tokens of captions.", counts.output_tokens)
    yield gauge("plan_done", "1 once all samples of the data set are planned.", counts.plan_done)
    yield gauge("job_done", "1 where every sample is in a part or given up.", counts.done)
    yield gauge("job_paused", "1 while an operator lets the job rest.", snapshot.paused)
    yield gauge("settings_version", "Version of the settings.", snapshot.settings_version)


def _streams(snapshot: Snapshot) -> Iterator[Metric]:
    streams = {(one.name.partition(":")[0], one.stage): one for one in snapshot.streams}
    labels = ("stream", "stage")
    yield gauges(
        "stream_waiting_entries",
        "Entries of a stream that nobody holds.",
        labels,
        {key: one.waiting for key, one in streams.items()},
    )
    yield gauges(
        "stream_held_entries",
        "Entries of a stream under a lease.",
        labels,
        {key: one.held for key, one in streams.items()},
    )
    yield gauges(
        "stream_oldest_age_seconds",
        "Age of the oldest entry of a stream; 0 where it is empty.",
        labels,
        {key: _age(one.oldest, snapshot.at) for key, one in streams.items()},
    )
    yield gauges(
        "stage_passed_samples",
        "Samples beyond a stage, but for those given up.",
        ("stage",),
        {(one["stage"],): one["passed"] for one in stages(snapshot)},
    )


def _budget(snapshot: Snapshot) -> Iterator[Metric]:
    yield gauge(
        "in_flight_bytes",
        "Bytes of Redis' memory that samples in stages take up, with their images.",
        snapshot.counts.bytes_in_flight,
    )
    most = budget_of(live(snapshot))
    for unit, what in (("bytes", "Bytes"), ("samples", "Samples")):
        if budget := getattr(most, unit):
            yield gauge(f"budget_{unit}", f"{what} in flight, beyond which feeders wait.", budget)


def _pace(snapshot: Snapshot) -> Iterator[Metric]:
    found = rates(snapshot)
    spans = {"1m": found.minute, "5m": found.five_minutes, "1h": found.hour}
    yield gauges(
        "samples_per_second",
        "Samples captioned or given up, over the last 1, 5 and 60 minutes.",
        ("window",),
        {(span,): pace.samples for span, pace in spans.items()},
    )
    yield gauges(
        "output_tokens_per_second",
        "Tokens of captions, over the last 1, 5 and 60 minutes.",
        ("window",),
        {(span,): pace.tokens for span, pace in spans.items()},
    )
    if found.left is not None:
        yield gauge("left_seconds", "Time left, at the pace of the last minutes.", found.left)
    yield from _ceiling(snapshot, found.minute)
    yield one_of(
        "limit",
        "1 for what limits the job now.",
        "kind",
        get_args(Limiting),
        limit(snapshot).kind,
    )


def _ceiling(snapshot: Snapshot, pace: Pace) -> Iterator[Metric]:
    most, share = ceiling(snapshot), reached(snapshot, pace)
    if most is not None:
        yield gauge("ceiling_captions_per_second", "What all engines make by themselves.", most)
    if share is not None:
        yield gauge("ceiling_ratio", "Share of that which the last minute made.", share)


def _members(snapshot: Snapshot) -> Iterator[Metric]:
    found = Counter((_known(m.role, ROLES), _state(m, snapshot.at)) for m in snapshot.members)
    pairs: dict[tuple[str, ...], float] = {(r, s): 0 for r in ROLES for s in STATES}
    pairs.update(found.items())
    yield gauges("members", "Processes of the job, by what they do.", ("role", "state"), pairs)
    workers = [m for m in live(snapshot) if m.role == "worker"]
    for figure, help_ in (
        ("slots", "Requests that the engines of all workers take at once."),
        ("running", "Requests that are in the engines of all workers."),
    ):
        total = sum(worker.figures.get(figure, 0.0) for worker in workers)
        yield gauge(f"engine_{figure}", help_, total)


def _state(member: Member, now: float) -> str:
    return "silent" if is_silent(member, now) else state_of(member.state)


def state_of(state: str) -> str:
    """Name a state without what there is to say of it; a worker far away may write anything."""
    return _known(state.partition(":")[0], STATES)


def _known(word: str, known: Iterable[str]) -> str:
    return word if word in known else OTHER


def _age(came: float | None, now: float) -> float:
    return 0.0 if came is None else max(0.0, now - came)


def _contributors(snapshot: Snapshot) -> Mapping[tuple[str, ...], float]:
    """Say who made how many; those who are not named make a line each, however few they made."""
    named = {line.name: line.credit.captions for line in snapshot.leaderboard if line.rank}
    told = Counter(_most(named, MOST_CONTRIBUTORS))
    for line in snapshot.leaderboard:
        if not line.rank:
            told[f"({line.kind})",] += line.credit.captions
    if snapshot.unranked:
        told[OTHER,] += snapshot.unranked
    return told


def _most(counted: Mapping[str, float], most: int) -> Mapping[tuple[str, ...], float]:
    """Keep the largest, and add the others up: each label costs a monitoring system memory."""
    ranked = sorted(counted.items(), key=lambda pair: -pair[1])
    kept: dict[tuple[str, ...], float] = {(name,): number for name, number in ranked[:most]}
    if rest := sum(number for _, number in ranked[most:]):
        kept[OTHER,] = kept.get((OTHER,), 0) + rest
    return kept
