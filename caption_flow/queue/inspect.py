"""Queue: Inspector on Redis. It reads lengths and books and a few entries, so it costs little."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from caption_flow.codec import records
from caption_flow.model import Caption, DeadLetter, Lease, Sample
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, answers, translated, translation
from caption_flow.queue.consumer import Delivery, readable
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.job import is_gone
from caption_flow.queue.ports import Member, Moment, Settings, Shard, Snapshot, Stream
from caption_flow.queue.ports.contributors import Standing, leaderboard
from caption_flow.queue.ports.inspect import STAGE
from caption_flow.queue.reasons import Reasons
from caption_flow.queue.shards import Shards

MOST_RANKED = 100  # contributors that a snapshot names
# Ten thousand take 40 ms of the server's time, in which it answers nobody else.
MANY = 1000  # contributors, from which on they are not read anew for each look
MANY_SECONDS = 10.0  # until they are

_moment = msgspec.json.Decoder(Moment)


class _Place(Struct, frozen=True):
    """A stream, and who takes from it."""

    name: str
    stream: str
    group: str


class RedisInspector(RedisContributors):
    """Inspector, see ports. One that is asked again and again remembers what does not change."""

    _reasons: Reasons | None = None
    _board: Sequence[Standing] = ()
    _board_until = 0.0  # on the monotonic clock

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        counts, settings = await self.counts(), await self.settings()
        pipe = self.client.pipeline(transaction=False)
        pipe.time().lrange(self.lane.history, 0, -1)
        (seconds, micros), notes = await answers(pipe)
        at = seconds + micros / 1e6
        places, members = await self._places(settings), await self._members(at)
        stages = [place.stream for place in places if place.name.startswith(STAGE)]
        board = await self._ranks()
        first = tuple(first_of(board))
        return Snapshot(
            at,
            counts,
            members,
            await self._streams(places),
            history=tuple(map(_moment.decode, notes)),
            reasons=await self._why(),
            settings_version=settings.version if settings else 0,
            leaderboard=first,
            paused=(await self.standing_orders()).paused is not None,
            shards=tuple(await self._shards.at_work(stages, members)),
            unranked=captions_of(board) - captions_of(first),
        )

    async def captions(self, count: int) -> list[Caption]:
        """Read the newest captions that are in no part yet."""
        found = await self._newest(self.lane.captions, count)
        return readable(found, lambda d: records.caption_from(d.entry, d.fields))

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        found = await self._newest(self.lane.dead, count)
        return readable(found, lambda d: records.dead_letter_from(d.entry, d.fields))

    async def shards(self, after: str, count: int) -> list[Shard]:
        """Read so many shards that come after one, by name; "": from the first on."""
        return await self._shards.page(after, count)

    async def shards_named(self, names: Iterable[str]) -> list[Shard]:
        """Read these shards, as far as they are known, in this order."""
        return await self._shards.named(names)

    async def columns(self, count: int) -> list[str] | None:
        """Name the columns of so many samples that are in a stage; None where none is."""
        found: list[Sample] = []
        for stream in await self.sample_streams([]):
            if len(found) < count:
                with translated():
                    entries = await self.client.xrange(stream, count=count - len(found))
                samples = [Delivery(stream, e.decode(), fields, 0) for e, fields in entries]
                found += readable(samples, lambda d: records.sample_from(d.entry, d.fields))
        named = dict.fromkeys(name for sample in found for name in sample.columns)
        return list(named) if found else None

    async def images(
        self, stages: Sequence[str], known: Collection[str], *, count: int, most: int
    ) -> dict[str, bytes]:
        """Read images of the samples that are longest in each stage, by sample id.

        At most `count` that are not known, of `most` bytes each, whose pixels are in Redis.
        """
        found: list[Lease] = []
        for stage in stages:
            with translated():
                entries = await self.client.xrange(self.lane.samples(stage), count=4 * count)
            named = [Delivery(stage, entry.decode(), fields, 0) for entry, fields in entries]
            found += readable(named, lambda d: records.lease_from(d.entry, d.stream, d.fields, 1))
        wanted = [one for one in found if _is_here(one.sample, most) and one.sample.id not in known]
        pipe = self.client.pipeline(transaction=False)
        for one in wanted[:count]:
            pipe.xrange(self.lane.images, one.image, one.image)
        read = zip(wanted, await answers(pipe) if wanted else (), strict=False)
        return {one.sample.id: entry[0][1][b"image"] for one, entry in read if entry}

    @property
    def _shards(self) -> Shards:
        return Shards(self.client, self.lane)

    async def _newest(self, stream: str, count: int) -> list[Delivery]:
        with translated():
            entries = await self.client.xrevrange(stream, count=count)
        return [Delivery(stream, entry.decode(), fields, 0) for entry, fields in entries]

    async def _places(self, settings: Settings | None) -> list[_Place]:
        """Name the streams in the order in which samples pass them."""
        told = msgspec.json.decode(settings.document).get("stages", []) if settings else []
        stages = [stage["name"] for stage in told]
        former = await self.former_stages(stages) if settings else []
        return [
            _Place("chunks", self.lane.chunks, keys.FEEDERS),
            *(
                _Place(f"{STAGE}{name}", self.lane.samples(name), keys.WORKERS)
                for name in (*stages, *former)
            ),
            _Place("captions", self.lane.captions, keys.SINKS),
        ]

    async def _streams(self, places: list[_Place]) -> tuple[Stream, ...]:
        pipe = self.client.pipeline(transaction=False)
        for place in places:
            pipe.xlen(place.stream)
            pipe.xpending(place.stream, place.group)
            pipe.xrange(place.stream, count=1)
        with translated():
            told = await pipe.execute(raise_on_error=False)
        return tuple(
            _stream(place.name, *told[3 * i : 3 * i + 3]) for i, place in enumerate(places)
        )

    async def _members(self, now: float) -> tuple[Member, ...]:
        return tuple(m for m in (await self.last_words()).values() if not is_gone(m, now))

    async def _ranks(self) -> Sequence[Standing]:
        if time.monotonic() >= self._board_until:
            known = await self.contributors()
            self._board = leaderboard(known)
            self._board_until = time.monotonic() + MANY_SECONDS if len(known) > MANY else 0.0
        return self._board

    async def _why(self) -> Mapping[str, int]:
        if self._reasons is None:
            self._reasons = Reasons(self.client, self.lane.dead)
        return await self._reasons.look()


def _is_here(sample: Sample, most: int) -> bool:
    return sample.reference is UNSET and 0 < sample.bytes <= most


def first_of(board: Sequence[Standing]) -> Iterator[Standing]:
    """Leave out those beyond the first ranks; who is not named is in few lines anyway."""
    yield from islice((line for line in board if line.rank), MOST_RANKED)
    yield from (line for line in board if not line.rank)


def captions_of(board: Sequence[Standing]) -> int:
    """Count the captions of these lines."""
    return sum(line.credit.captions for line in board)


def _stream(name: str, length: Any, pending: Any, oldest: Any) -> Stream:
    for answer in (length, pending, oldest):
        if isinstance(answer, Exception):
            error = translation(answer) or answer
            if not isinstance(error, GroupGone):  # or not made yet
                raise error from answer
            pending = {"pending": 0, "consumers": []}
    # What was handed back is under a name that is nobody's.
    holders = {holder["name"]: holder["pending"] for holder in pending["consumers"]}
    held = int(pending["pending"]) - int(holders.get(keys.RETURNED.encode(), 0))
    # Exact, since what is acked is deleted; `lag` is nil after out-of-order deletes.
    came = int(oldest[0][0].partition(b"-")[0]) / 1000 if oldest else None
    return Stream(name, max(0, length - held), held, came)
