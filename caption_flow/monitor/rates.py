"""Monitor: how fast a job goes, by what the books said before."""

from collections.abc import Sequence
from itertools import pairwise, starmap

from msgspec import Struct

from caption_flow.model import Counts
from caption_flow.queue.ports import Moment, Snapshot

MINUTE = 60.0
SPANS = (MINUTE, 5 * MINUTE, 60 * MINUTE)
# A rate of a job that began, or had no process, within the span is taken since then.
SHORTEST = 5.0  # seconds; over less than this there is no rate
SLACK = 30.0  # seconds; notes are 15 apart, so where processes ran one is not older than this


class Pace(Struct, frozen=True):
    """How fast it went, over some time."""

    seconds: float  # over which it is taken; fewer than asked where less is known
    samples: float = 0.0  # settled in a second: captioned, in a part or not yet, or given up
    tokens: float = 0.0  # put out in a second


class Rates(Struct, frozen=True):
    """How fast a job goes."""

    minute: Pace
    five_minutes: Pace
    hour: Pace
    left: float | None = None  # seconds until all is settled; None where nobody can tell


def rates(snapshot: Snapshot) -> Rates:
    """Tell how fast a job goes, and when it will be done at the pace of the last minutes."""
    now = Moment.of(snapshot.counts, snapshot.at)
    minute, five, hour = (_pace(snapshot.history, now, span) for span in SPANS)
    return Rates(minute, five, hour, _left(snapshot.counts, minute, five))


def throughput(snapshot: Snapshot) -> list[tuple[float, float]]:
    """Give the samples settled a second between each two notes of the last hour, by their time."""
    return [
        (after.at, _samples(before, after) / (after.at - before.at))
        for before, after in pairwise(last_hour(snapshot))
        if after.at - before.at >= 1.0
    ]


def last_hour(snapshot: Snapshot) -> list[Moment]:
    """Give what the books said in the last hour, oldest first, and what they say now."""
    return _since(snapshot.history, Moment.of(snapshot.counts, snapshot.at), SPANS[-1])


def _pace(history: Sequence[Moment], now: Moment, span: float) -> Pace:
    moments = _since(history, now, span)
    seconds = now.at - moments[0].at
    if seconds < SHORTEST:
        return Pace(seconds)
    # From note to note: what goes back at once, as by a retry, says nothing of the time around it.
    samples = sum(starmap(_samples, pairwise(moments)))
    tokens = sum(starmap(_tokens, pairwise(moments)))
    return Pace(seconds, samples / seconds, tokens / seconds)


def _since(history: Sequence[Moment], now: Moment, span: float) -> list[Moment]:
    """Give the notes of a span and its end: from the newest that is old enough on.

    Of a job that is younger, or stood without any process until within the span, from the first.
    """
    known = [moment for moment in history if 0 < now.at - moment.at <= span + SLACK]
    old = sum(now.at - moment.at >= span for moment in known)
    return [*known[max(0, old - 1) :], now]


def _left(counts: Counts, *paces: Pace) -> float | None:
    todo = counts.planned - counts.completed - counts.dead
    if not counts.plan_done:
        return None
    if todo <= 0:
        return 0.0
    # The last minute, if it says anything: a job that has just been given workers is as fast as it.
    moving = [pace for pace in paces if pace.samples > 0]
    return todo / moving[0].samples if moving else None


def _samples(before: Moment, after: Moment) -> int:
    # A retry takes dead letters back off what is settled, and a flush all of it.
    return max(0, after.completed + after.dead - before.completed - before.dead)


def _tokens(before: Moment, after: Moment) -> int:
    return max(0, after.output_tokens - before.output_tokens)
