"""Monitor: the throughput of the last hour as bars, in lines of text."""

from collections.abc import Sequence
from itertools import pairwise

from caption_flow.monitor.rates import last_hour, throughput
from caption_flow.queue.ports import Snapshot

SPANS = (300.0, 3600.0)  # seconds that are drawn, at least and at most
EIGHTHS = " ▁▂▃▄▅▆▇█"
PLAIN = " .:-=+*%#"  # for terminals that show ASCII only


def known(snapshot: Snapshot) -> float:
    """Tell of how many seconds there is something to draw."""
    since = last_hour(snapshot)[0].at
    return min(max(snapshot.at - since, SPANS[0]), SPANS[1])


def columns(snapshot: Snapshot, width: int, span: float) -> list[float | None]:
    """Spread the rates of the last `span` seconds over so many columns, the newest last.

    Samples settled a second, in each; None where nothing is known of that time.
    """
    points = throughput(snapshot)
    if not points or width < 1:
        return [None] * max(0, width)
    each = span / width
    begin = snapshot.at - span
    settled, seen = [0.0] * width, [0.0] * width
    starts = [last_hour(snapshot)[0].at, *(at for at, _ in points)]
    for (since, until), (_, rate) in zip(pairwise(starts), points, strict=True):
        first = max(0, int((since - begin) / each))
        last = min(width - 1, int((until - begin) / each))
        for column in range(first, last + 1):
            left = begin + column * each
            overlap = min(until, left + each) - max(since, left)
            if overlap > 0:
                settled[column] += rate * overlap
                seen[column] += overlap
    return [s / k if k else None for s, k in zip(settled, seen, strict=True)]


def chart(rates: Sequence[float | None], height: int, bars: str = EIGHTHS) -> list[str]:
    """Draw a bar for each rate, in so many lines from the top down; the highest fills them all.

    What is known to be nothing has a line at the bottom; of what is unknown there is none.
    """
    top = max((rate for rate in rates if rate), default=0.0)
    steps = len(bars) - 1
    levels = [_level(rate, top, height * steps) for rate in rates]
    return [
        "".join(bars[min(steps, max(0, level - row * steps))] for level in levels)
        for row in reversed(range(height))
    ]


def _level(rate: float | None, top: float, most: int) -> int:
    if rate is None:
        return 0
    if not rate:
        return 1
    return min(most, 2 + round(rate / top * (most - 2)))
