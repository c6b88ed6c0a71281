"""Queue: all that commands ask of a job of several lanes which look at it or change it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec.structs import asdict, replace

from caption_flow.model import Caption, Credit, DeadLetter, EntryId
from caption_flow.queue.inspect import RedisInspector, captions_of, first_of
from caption_flow.queue.job import RedisJob
from caption_flow.queue.keys import shard_to
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.office import RedisOffice
from caption_flow.queue.ports import Moment, Shard, Snapshot, Stream
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.recall import RedisRecall

_APART = 1.0  # seconds by which notes of the same moment may differ
_ADDED = ("failures", "seconds", "checked", "agreed", "agreement", "unanswered")


class LanedOffice(LanedJob, RedisOffice):
    """Office, see there."""

    def __init__(self, job: RedisJob, count: int) -> None:
        super().__init__(job, count)
        self._inspectors = tuple(
            RedisInspector(job.connections, job.job, lane=lane) for lane in range(count)
        )

    async def snapshot(self) -> Snapshot:
        """Read the state of the job: that of each lane, added up."""
        found = [await one.snapshot() for one in self._inspectors]
        board = await self._ranks()
        first = tuple(first_of(board))
        return replace(
            found[0],
            counts=await self.counts(),
            streams=tuple(_streams([one.streams for one in found])),
            history=tuple(_together([one.history for one in found])),
            reasons=sum((Counter(one.reasons) for one in found), Counter()),
            leaderboard=first,
            shards=tuple(await self._named({s.name for one in found for s in one.shards})),
            unranked=captions_of(board) - captions_of(first),
        )

    async def captions(self, count: int) -> list[Caption]:
        """Read the newest captions that are in no part yet."""
        found = [one for lane in self._inspectors for one in await lane.captions(count)]
        return sorted(found, key=lambda one: _age(one.entry), reverse=True)[:count]

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        found = [one for lane in self._inspectors for one in await lane.dead_letters(count)]
        return sorted(found, key=lambda one: _age(one.entry), reverse=True)[:count]

    async def shards(self, after: str, count: int) -> list[Shard]:
        """Read so many shards that come after one, by name; "": from the first on."""
        # What is not among so many of a lane is not among so many of all.
        pages = [await one.shards(after, count) for one in self._inspectors]
        return _added(shard for page in pages for shard in page)[:count]

    async def images(
        self, stages: Sequence[str], known: Collection[str], *, count: int, most: int
    ) -> dict[str, bytes]:
        """Read images of the samples that are longest in each stage, by sample id."""
        found: dict[str, bytes] = {}
        for lane in self._inspectors:
            if len(found) < count:
                left = count - len(found)
                found |= await lane.images(stages, known, count=left, most=most)
        return found

    async def contributors(self) -> list[Contributor]:
        """Read what is known of each, by name."""
        by_name: dict[str, Contributor] = {}
        for lane in self._inspectors:
            for one in await lane.contributors():
                there = by_name.get(one.name)
                by_name[one.name] = one if there is None else _both(there, one)
        return [by_name[name] for name in sorted(by_name)]

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        recalls = [RedisRecall(one, stages=()) for one in self.lanes]
        return sum([await recall.hand_back(contributor) for recall in recalls])

    async def _named(self, names: Collection[str]) -> list[Shard]:
        told = [one for lane in self._inspectors for one in await lane.shards_named(names)]
        return _added(told)


def _streams(lanes: Sequence[Sequence[Stream]]) -> Iterator[Stream]:
    """Add up streams of the same name: stages may have changed between the looks at two lanes."""
    by_name: defaultdict[str, list[Stream]] = defaultdict(list)
    for stream in (*(one for lane in lanes for one in lane[:-1]), *(lane[-1] for lane in lanes)):
        by_name[stream.name].append(stream)  # captions last, behind all stages
    return map(_stream, by_name.values())


def _stream(lanes: Sequence[Stream]) -> Stream:
    came = [one.oldest for one in lanes if one.oldest is not None]
    return Stream(
        lanes[0].name,
        sum(one.waiting for one in lanes),
        sum(one.held for one in lanes),
        min(came, default=None),
    )


def _together(notes: Sequence[Sequence[Moment]]) -> Iterator[Moment]:
    """Add up what the books of the lanes said, at the times of the notes of the first."""
    first, *others = notes
    for moment in first:
        numbers = asdict(moment)
        for lane in others:
            before = [one for one in lane if one.at <= moment.at + _APART]
            for name, value in asdict(before[-1]).items() if before else ():
                if name != "at":
                    numbers[name] += value
        yield Moment(**numbers)


def _added(shards: Iterable[Shard]) -> list[Shard]:
    """Add up shards of the same name, and sort them as a lane does."""
    by_name: dict[str, Shard] = {}
    for one in shards:
        there = by_name.get(one.name, Shard(one.name, 0, 0, 0))
        by_name[one.name] = Shard(
            one.name,
            there.planned + one.planned,
            there.captioned + one.captioned,
            there.dead + one.dead,
        )
    return sorted(by_name.values(), key=lambda one: shard_to(one.name).encode())


def _both(one: Contributor, other: Contributor) -> Contributor:
    """Add up what two lanes know of a contributor."""
    seen = [at for at in (one.first_seen, other.first_seen) if at]
    return replace(
        one,
        credit=sum((one.credit, other.credit), Credit()),
        **{name: getattr(one, name) + getattr(other, name) for name in _ADDED},
        first_seen=min(seen, default=0.0),
        last_seen=max(one.last_seen, other.last_seen),
        anonymous=one.anonymous or other.anonymous,
    )


def _age(entry: EntryId) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))
