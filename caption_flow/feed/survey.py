"""Feed, rehearsed: what would be fed, without a word to the queue."""

from collections.abc import Callable, Iterator
from itertools import islice

from msgspec import Struct

from caption_flow.dataset.known import Known
from caption_flow.dataset.source import Source
from caption_flow.feed.selection import Selection
from caption_flow.feed.sift import Sifted, sift
from caption_flow.model import Listed

_NAMES = 1000  # looked at together


class Survey(Struct):
    """What a data set holds that would be fed."""

    shards: int = 0  # with at least one such sample
    samples: int = 0
    known: int = 0  # captioned, given up or on their way already
    bytes: int | None = 0  # of encoded images; None: it cannot be told without reading them


def survey(
    source: Source,
    known: Known,
    selection: Selection,
    *,
    go_on: Callable[[], bool],
    seen: Callable[[int], None] = lambda _: None,
) -> Survey:
    """Walk a data set as a planner does, for as long as that is wanted.

    `seen` is told now and then how many samples were met.
    """
    found = Survey()
    for shard in filter(selection.admits_shard, source.shards()):
        before = found.samples
        for run in _runs(source.names(shard, None)):
            selected = found.samples + found.known
            if not go_on() or selection.left(selected) == 0:
                break
            sifted = sift(shard, run, selection, known, selected=selected)
            _add(found, sifted, source.size(shard, sifted.new) if sifted.new else 0)
            seen(found.samples + found.known)
        found.shards += found.samples > before
        if not go_on() or selection.left(found.samples + found.known) == 0:
            break
    return found


def _add(found: Survey, sifted: Sifted, size: int | None) -> None:
    found.samples += len(sifted.new)
    found.known += sifted.known
    if found.bytes is not None:
        found.bytes = None if size is None else found.bytes + size


def _runs(listed: Iterator[Listed]) -> Iterator[list[Listed]]:
    while run := list(islice(listed, _NAMES)):
        yield run
