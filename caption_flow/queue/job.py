"""Queue: what every role does with a job on Redis: read its books and settings, be a member."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from caption_flow.errors import ConfigError
from caption_flow.model import Counts
from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.connect import Connections
from caption_flow.queue.keys import JobKeys, LaneKeys
from caption_flow.queue.ports import (
    Member,
    Moment,
    Order,
    Orders,
    Room,
    Settings,
    StandingOrders,
)
from caption_flow.queue.ports.job import CLOCK_AHEAD
from caption_flow.queue.scripts import Scripts

STREAMS = 1000  # keys looked at together
GONE_SECONDS = 600.0  # a member silent for this long is taken off the list
NOTE_SECONDS = 15.0  # between two notes of the books
NOTES = 260  # kept: of an hour, and some
APART_SECONDS = 1.0  # by which clocks differ before that is told

_member = msgspec.json.Decoder(Member)
_order = msgspec.json.Decoder(Order)

_COUNTS = Counts.__struct_fields__
_NOTED = Moment.__struct_fields__[1:]  # without the time


class RedisJob:
    """One lane of a job; the roles' queues stand on it. Most jobs have but the one."""

    def __init__(self, connections: Connections, job: str, *, lane: int = 0) -> None:
        self.connections = connections
        # Any: redis-py types its answers by every protocol it speaks; ours are bytes, by connect.
        self.client: Any = connections.commands
        self.job = job
        self.keys = JobKeys(job)
        self.lane = LaneKeys(job, lane)
        self.scripts = Scripts(connections.commands)
        self._tidied = False  # the list of members, by us
        self._note_at = 0.0  # on the monotonic clock
        self._ahead = 0.0  # seconds by which the clock here is before that of the server

    async def counts(self) -> Counts:
        """Read the books."""
        with translated():
            values = await self.client.hmget(self.lane.counts, _COUNTS)
        numbers = {name: int(value) for name, value in zip(_COUNTS, values, strict=True) if value}
        return Counts(**{**numbers, "plan_done": bool(numbers.get("plan_done"))})  # type: ignore[arg-type]

    async def room(self) -> Room:
        """What is in flight now."""
        counts = await self.counts()
        return Room(bytes=counts.bytes_in_flight, samples=counts.in_flight)

    async def settings(self) -> Settings | None:
        """Read the settings; None while nobody has published any."""
        fields = ["version", "document", "by"]
        with translated():
            version, document, by = await self.client.hmget(self.keys.settings, fields)
        if version is None or document is None:
            return None
        return Settings(int(version), document, (by or b"").decode())

    async def settings_mark(self) -> str | None:
        """Tell the settings from others, see Settings; None while nobody has published any."""
        with translated():
            version, digest = await self.client.hmget(self.keys.settings, ["version", "digest"])
        return None if version is None else f"{version.decode()} {(digest or b'').decode()}"

    async def reload(
        self, document: bytes, stages: Sequence[str], *, instead_of: int, by: str
    ) -> int | None:
        """Publish other settings instead of the version that was looked at.

        Answers the new version; None where that one is the job's no more, and nothing happened.
        """
        version = await self.scripts.run(
            "reload", [self.keys.settings, self.keys.stages], [document, instead_of, by, *stages]
        )
        return version or None

    async def former_stages(self, stages: Sequence[str]) -> list[str]:
        """Name the stages that the job once had beside these: samples may wait in them still."""
        with translated():
            names = await self.client.smembers(self.keys.stages)
        return sorted({name.decode() for name in names}.difference(stages))

    async def dataset(self) -> str | None:
        """Name the data set that the job is for."""
        with translated():
            owner = await self.client.hget(self.keys.settings, "dataset")
        return owner.decode() if owner else None

    async def parts(self) -> set[str]:
        """Name the committed parts."""
        with translated():
            names = await self.client.hkeys(self.lane.parts)
        return {name.decode() for name in names}

    async def epoch(self) -> str:
        """Name what the queue remembers; another name: it may have forgotten something."""
        name = await self.scripts.run("epoch", [self.lane.epoch], [secrets.token_hex(8)])
        return str(name.decode())

    async def sample_streams(self, stages: Sequence[str]) -> list[str]:
        """Name the streams of samples: of the stages in order, and of those there were once."""
        # By their names too: a scan looks at one node, and misses what is on its way to another.
        former = await self.former_stages(stages)
        streams = [self.lane.samples(stage) for stage in (*stages, *former)]
        with translated():
            async for key in self.client.scan_iter(match=self.lane.samples("*"), count=STREAMS):
                if key.decode() not in streams:
                    streams.append(key.decode())
        return streams

    async def beat(self, member: Member) -> None:
        """Leave a last word; now and then, write down what the books say.

        The first time, take those off the list who were killed long ago.
        """
        if time.monotonic() >= self._note_at:
            await self._note()
            self._note_at = time.monotonic() + NOTE_SECONDS
        if not self._tidied:
            await self._forget_the_gone(time.time() - self._ahead)
            self._tidied = True
        word = msgspec.json.encode(_by_the_server(member, self._ahead))
        with translated():
            await self.client.hset(self.keys.members, f"{member.role}:{member.name}", word)

    async def _note(self) -> None:
        """Write down what the books say, and take note of the time there."""
        lane, before = self.lane, time.time()
        arguments = [NOTE_SECONDS, NOTES, *_NOTED]
        told = await self.scripts.run("note", [lane.counts, lane.history], arguments)
        seconds, micros = map(int, told)
        self._ahead = _ahead(before, seconds + micros / 1e6, time.time())

    async def members(self) -> dict[str, Member]:
        """Read the last words of those heard of lately, by the names they are kept under."""
        with translated():
            seconds, _ = await self.client.time()
        last = await self.last_words()
        return {name: member for name, member in last.items() if not is_gone(member, seconds)}

    async def last_words(self) -> dict[str, Member]:
        """Read the last words that were left, by the names they are kept under."""
        with translated():
            words = await self.client.hgetall(self.keys.members)
        return {name.decode(): _member.decode(word) for name, word in words.items()}

    async def _forget_the_gone(self, now: float) -> None:
        last = await self.last_words()
        gone = [name for name, member in last.items() if is_gone(member, now)]
        for name in gone:
            await self._forget(name)

    async def leave(self, member: Member) -> None:
        """Say goodbye."""
        await self._forget(f"{member.role}:{member.name}")

    async def _forget(self, name: str) -> None:
        """Take a member off the list, and what was wanted of it off the orders."""
        order = keys.drained(name.partition(":")[2])
        with translated():
            await self.client.hdel(self.keys.members, name)
            await self.client.hdel(self.keys.orders, order)

    async def orders(self, member: str) -> Orders:
        """Read what operators want of the process of this name."""
        with translated():
            paused, drain = await self.client.hmget(
                self.keys.orders, [keys.PAUSED, keys.drained(member)]
            )
        return Orders(paused=paused is not None, drain=drain is not None)

    async def standing_orders(self) -> StandingOrders:
        """Read what operators want of all processes: few words, whatever the size of the job."""
        with translated():
            given = await self.client.hgetall(self.keys.orders)
        orders = {name.decode(): _order.decode(order) for name, order in given.items()}
        return StandingOrders(
            orders.pop(keys.PAUSED, None),
            {name.removeprefix(keys.DRAINED): order for name, order in orders.items()},
        )


def is_gone(member: Member, now: float) -> bool:
    """Whether it has been silent for so long that it must have died; `now`: on the server."""
    return now - member.seen >= GONE_SECONDS


def _ahead(before: float, there: float, after: float) -> float:
    """Give the seconds by which a clock here is before another for certain; negative: behind.

    That one was read between two looks at ours, which may be far apart.
    """
    least, most = before - there, after - there
    certain = max(least, min(most, 0.0))
    return certain if abs(certain) >= APART_SECONDS else 0.0


def _by_the_server(member: Member, ahead: float) -> Member:
    """Tell its times by the clock of the server, and how far that of its host is from it."""
    figures = {name: value for name, value in member.figures.items() if name != CLOCK_AHEAD}
    if ahead:
        figures[CLOCK_AHEAD] = round(ahead, 1)
    seen, started = member.seen - ahead, member.started - ahead
    return replace(member, seen=seen, started=started, figures=figures)


async def only_job(connections: Connections) -> str | None:
    """Find the job of a server that has one; None while it has none."""
    with translated():
        answer: Any = await connections.commands.smembers(keys.JOBS)
    names = sorted(name.decode() for name in answer)
    if len(names) > 1:
        raise ConfigError(
            f"This Redis has {len(names)} jobs ({', '.join(names[:5])}): say which with --job."
        )
    return names[0] if names else None
