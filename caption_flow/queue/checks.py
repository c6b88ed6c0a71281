"""Queue: captions of contributors that wait to be made again by trusted workers, and verdicts.

Checks are beside the job: they are in no books, and where there is no room for one, it is left out.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from caption_flow.codec import records
from caption_flow.model import EntryId, Outcomes
from caption_flow.queue import keys
from caption_flow.queue.border import answers, translated
from caption_flow.queue.consumer import Consumer, Delivery
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Claimed
from caption_flow.queue.ports.checks import Disagreement, Verdict
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.renewals import renewed

MOST_BYTES = 64 << 20  # that wait for one stage
MOST_ENTRIES = 1000  # likewise
MOST_DISAGREEMENTS = 20  # of a contributor that are kept

Unjudged: TypeAlias = Literal["unanswered", "dropped"]

_disagreement = msgspec.json.Decoder(Disagreement)


class RedisChecks(RedisJob):
    """Captions to be checked."""

    def __init__(self, job: RedisJob) -> None:
        super().__init__(job.connections, job.job)

    async def keep(
        self, holder: str, held: Claimed, contributor: str, outcomes: Outcomes, which: int
    ) -> bool:
        """Keep a sample with one of the outcomes of its visit, before it is completed."""
        made, lane = outcomes[which], self.lane
        arguments: list[Any] = [keys.WORKERS, holder, held.entry, MOST_BYTES, MOST_ENTRIES]
        arguments += (contributor, records.encode(made))
        for outcome in outcomes[:which]:
            arguments += (outcome.stage, records.encode(outcome))
        places = [lane.samples(held.stage), lane.images]
        places += [lane.checks(made.stage), lane.checking(made.stage)]
        return bool(await self.scripts.run("check", places, arguments))

    def consumer(
        self, stages: Sequence[str], name: str, lease_seconds: float, reclaims: Reclaims | None
    ) -> Consumer:
        """Make a consumer of what waits for these stages."""
        return Consumer(
            self.connections,
            self.scripts,
            self.streams(stages),
            group=keys.CHECKERS,
            name=name,
            lease_seconds=lease_seconds,
            reclaims=reclaims,
        )

    def streams(self, stages: Sequence[str]) -> list[str]:
        """Name the streams of these stages."""
        return [self.lane.checks(stage) for stage in stages]

    async def renew(self, stream: str, name: str, entries: Sequence[EntryId]) -> set[EntryId]:
        """Begin leases anew; answers those that were lost."""
        return await renewed(self.scripts, stream, keys.CHECKERS, name, entries)

    async def pixels(self, stream: str, entries: Sequence[EntryId]) -> dict[EntryId, bytes]:
        """Read images of what waits, by entry; one that is gone is left out."""
        if not entries:
            return {}
        pipe = self.client.pipeline(transaction=False)
        for entry in entries:
            pipe.xrange(stream, entry, entry)
        found = await answers(pipe)
        return {
            entry: rows[0][1][b"pixels"] for entry, rows in zip(entries, found, strict=True) if rows
        }

    async def judge(self, delivery: Delivery, stage: str, verdict: Verdict | Unjudged) -> bool:
        """Take off what waited, and count what was found; once, whoever repeats it."""
        noted, contributor = (delivery.fields[name].decode() for name in (b"of", b"by"))
        places, arguments = self._verdict(self.lane.checking(stage), noted, contributor, verdict)
        arguments += [keys.CHECKERS, delivery.entry]
        return bool(await self.scripts.run("verdict", [*places, delivery.stream], arguments))

    async def disagreements(self, contributor: str) -> list[Disagreement]:
        """Read the newest disagreements with a contributor, the last one first."""
        with translated():
            told = await self.client.lrange(self.lane.disagreements(contributor), 0, -1)
        return [_disagreement.decode(one) for one in told]

    def _verdict(
        self, note: str, entry: EntryId, contributor: str, verdict: Verdict | Unjudged
    ) -> tuple[list[str], list[Any]]:
        """Say how a verdict is told to its script."""
        places = [note, self.lane.contributors, self.lane.disagreements(contributor)]
        if not isinstance(verdict, Verdict):
            return places, [entry, contributor, verdict, "0", b"", MOST_DISAGREEMENTS]
        agreement, found = f"{verdict.agreement:.6f}", verdict.disagreement
        told = ("agreed", agreement, b"")
        if found is not None:
            told = ("disagreed", agreement, records.encode(found))
        return places, [entry, contributor, *told, MOST_DISAGREEMENTS]
