"""Audit: the comparison. It knows where samples were seen last, and asks a census for the rest."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import compress

from msgspec import Struct

from caption_flow.audit.planned import Run
from caption_flow.audit.tally import Difference, Place, Tally
from caption_flow.dataset.census import Census, Home
from caption_flow.dataset.source import sample_id
from caption_flow.model import Chunk, Counts
from caption_flow.queue.ports.audit import Books, Sighting, Waiting

_ASKED = 10_000  # ids the census is asked for at once


class Spot(Struct, frozen=True):
    """Where a sample is in the queue."""

    home: Home
    place: Place
    abandoned: bool


class Whereabouts:
    """Where each sample was seen last in the queue; fed in the order of the flow."""

    def __init__(self) -> None:
        self._spots: dict[str, Spot] = {}  # by id
        self._known: dict[Spot, Spot] = {}  # so that the many samples of a spot share one
        self._excused: set[str] = set()  # ids that may be nowhere

    def see(self, place: Place, sightings: Iterable[Sighting]) -> None:
        """Note samples that were seen in a stream."""
        for one in sightings:
            self._note(one.id, Spot(Home(one.shard, one.chunk), place, one.abandoned))

    def see_waiting(self, waiting: Iterable[Waiting]) -> None:
        """Note what chunks have left to offer."""
        for left in waiting:
            chunk = left.chunk
            spot = Spot(Home(chunk.shard, chunk.id), "waiting", left.abandoned)
            for id_ in chunk.ids():
                self._note(id_, spot)

    def see_dropped(self, ids: Iterable[str]) -> None:
        """Note samples that are wanted no more."""
        self._excused.update(ids)

    def see_retried(self, ids: Iterable[str]) -> None:
        """Note samples that go back up the flow again and again, past whoever reads down it."""
        self._excused.update(ids)

    def _note(self, id_: str, spot: Spot) -> None:
        self._spots[id_] = self._known.setdefault(spot, spot)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._spots or id_ in self._excused

    def drop_captioned(self, census: Census) -> int:
        """Forget the samples that stand in a part, for a sink will drop them; answers how many."""
        ids = list(self._spots)
        for first in range(0, len(ids), _ASKED):
            asked = ids[first : first + _ASKED]
            for id_ in set(asked).difference(census.unknown(asked)):
                del self._spots[id_]
        return len(ids) - len(self._spots)

    def counts(self) -> Counter[Spot]:
        """Count the samples of each spot."""
        return Counter(self._spots.values())


class Comparison:
    """The parts against the queue, and then the source against both."""

    def __init__(self, whereabouts: Whereabouts, census: Census, *, chunk_size: int) -> None:
        self.returning = whereabouts.drop_captioned(census)  # samples that come a second time
        self._chunk_size = chunk_size
        self._whereabouts = whereabouts
        self._census = census

    @property
    def captioned(self) -> int:
        """Count the samples that stand in a part."""
        return sum(self._census.captioned().values())

    def captioned_of(self, run: Run) -> int:
        """Count those of them that the source names."""
        ids = [sample_id(run.shard, name) for name in run.names]
        return len(ids) - len(self._census.unknown(ids))

    def lost(self, run: Run) -> list[Chunk]:
        """Name the planned samples that are nowhere, by the chunk each will have been in."""
        ids = [sample_id(run.shard, name) for name in run.names]
        wanted = list(compress(ids, run.wanted))
        nowhere = {id_ for id_ in self._census.unknown(wanted) if id_ not in self._whereabouts}
        if not nowhere:  # as nearly always
            return []
        names: dict[str, list[str]] = defaultdict(list)
        for place, (id_, name) in enumerate(zip(ids, run.names, strict=True), run.place):
            if id_ in nowhere:
                names[self._chunk(run.shard, place)].append(name)
        return [Chunk(id_, run.dataset, run.shard, tuple(names[id_])) for id_ in names]

    def _chunk(self, shard: str, place: int) -> str:
        """Name the chunk that begins before a place, as far as one is known."""
        begins = self._begins[shard]
        nearest = begins[bisect_right(begins, place) - 1] if begins else -1
        if not 0 <= place - nearest < self._chunk_size:
            nearest = place - place % self._chunk_size
        return f"{shard}:{nearest}"

    @cached_property
    def _begins(self) -> dict[str, list[int]]:
        """Places of the first samples of the known chunks, by shard."""
        begins: dict[str, set[int]] = defaultdict(set)
        for home in (*self._census.captioned(), *(s.home for s in self._whereabouts.counts())):
            if (place := _place(home)) is not None:
                begins[home.shard].add(place)
        return defaultdict(list, {shard: sorted(places) for shard, places in begins.items()})

    def tallies(self, missing: Counter[Home]) -> dict[str, dict[str, Tally]]:
        """Sum up by shard and chunk, both in order."""
        figures = self._figures(missing)
        shards: dict[str, dict[str, Tally]] = defaultdict(dict)
        for home in sorted(figures, key=_order):
            shards[home.shard][home.chunk] = Tally(**figures[home])
        return dict(shards)

    def _figures(self, missing: Counter[Home]) -> dict[Home, Counter[str]]:
        figures: dict[Home, Counter[str]] = defaultdict(Counter)
        for name, counts in (
            ("captioned", self._census.captioned()),
            ("doubled", self._census.doubled()),
            ("missing", missing),
        ):
            for home, count in counts.items():
                figures[home][name] += count
        for spot, count in self._whereabouts.counts().items():
            figures[spot.home][spot.place] += count
            figures[spot.home]["abandoned"] += count if spot.abandoned else 0
        return figures


def differences(books: Books) -> Iterator[Difference]:
    """Say where the books and the streams disagree."""
    counted, found = _places(books.counted), _places(books.found)
    for what, by_books in counted.items():
        if by_books != found[what]:
            yield Difference(what, by_books, found[what])
    if books.spare_images > 0:
        yield Difference("images without a sample", 0, books.spare_images)


def _places(counts: Counts) -> dict[str, int]:
    return {
        "samples in chunks": counts.in_chunks,
        "samples in stages": counts.offered - counts.completed - counts.dead,
        "captions waiting for a part": counts.completed - counts.captioned,
        "dead letters": counts.dead,
        "bytes of samples": counts.bytes_in_flight,
    }


def _order(home: Home) -> tuple[str, bool, int, str]:
    """Sort the chunks of a shard by the place of their first sample, those without one last."""
    place = _place(home)
    return home.shard, place is None, place or 0, home.chunk


def _place(home: Home) -> int | None:
    """Tell the place of a chunk's first sample; None for one that was fed again."""
    place, _, _ = home.chunk.removeprefix(f"{home.shard}:").partition(".")
    return int(place) if place.isdecimal() else None
