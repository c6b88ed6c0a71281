"""Proxy, known captions: which images with known captions one client gets, and as what.

A client must not tell them from samples of the job. So of both it sees an id that says nothing, no
place in the data set, and the same facts; and one is sent only among samples that were waiting.
"""

import asyncio
import logging
import random
from collections.abc import Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.errors import CaptionFlowError
from caption_flow.model import ROOT_SHARD, EntryId, Picture, Sample
from caption_flow.proxy.checks.donors import Donors
from caption_flow.proxy.checks.known import KnownImages
from caption_flow.proxy.checks.seal import Seal, blank
from caption_flow.proxy.view import View
from caption_flow.queue.ports import Claimed
from caption_flow.queue.probes import Probe, RedisProbes
from caption_flow.queue.relay import Handout, Holding
from caption_flow.template import FILENAME, base_name

logger = logging.getLogger(__name__)

MOST_OWED = 8  # images, while there is no place for them
_SELDOM = 0.1  # the least share of samples that are of the job

_chance = random.SystemRandom()


class Lent(Struct, frozen=True):
    """An image with a known caption in a client's hands."""

    entry: EntryId  # that the client knows
    probe: Probe


class Opened(Struct, frozen=True):
    """How the job knows what a client holds; it is Claimed."""

    entry: EntryId
    stage: str
    image: EntryId
    passed: tuple[str, ...]


class Pool(Struct):
    """What all clients of one proxy are lent from."""

    known: KnownImages
    seal: Seal
    probes: RedisProbes
    view: View
    share: float  # of what a client gets
    shown: dict[str, set[str]] = field(default_factory=dict)  # names of images, by contributor
    donors: Donors = field(default_factory=Donors)


class Lending:
    """What one channel of a client is lent."""

    def __init__(self, pool: Pool, consumer: str, contributor: str) -> None:
        self._pool = pool
        self._consumer = consumer
        self._contributor = contributor
        self._owed = 0  # images

    def opened(self, held: Claimed) -> Opened:
        """Find how the job knows what the client holds."""
        seal = self._pool.seal
        entry = seal.open(held.entry)
        image = entry if held.image == held.entry else seal.open(held.image)
        return Opened(entry, held.stage, image, tuple(held.passed))

    def sealed(self, handout: Handout) -> Handout:
        """Tell the client of a sample nothing by which it stands out, or does not."""
        holding, seal = handout.holding, self._pool.seal
        sample = records.sample_from(holding.entry, {b"sample": handout.sample})
        if self._is_alike(holding):
            self._pool.donors.add(self._contributor, sample)
        entry = seal.close(holding.entry)
        image = entry if holding.image == holding.entry else seal.close(holding.image)
        return Handout(
            replace(holding, entry=entry, image=image),
            records.encode(self._bare(sample, entry)),
            handout.outcomes,
            handout.failures,
        )

    def owe(self, handouts: Iterable[Handout]) -> None:
        """Note what the client gets, and with it, by chance, that it is owed an image."""
        ratio = self._pool.share / max(1 - self._pool.share, _SELDOM)
        alike = sum(self._is_alike(handout.holding) for handout in handouts)
        owed = sum(int(ratio + _chance.random()) for _ in range(alike))
        self._owed = min(self._owed + owed, MOST_OWED)

    async def lend(self, most: int, lease_ms: int) -> list[tuple[Lent, Handout]]:
        """Send images that are owed, as many as there is place for."""
        lent: list[tuple[Lent, Handout]] = []
        try:
            while self._owed and len(lent) < most:
                self._owed -= 1
                if (one := await self._lend(lease_ms)) is not None:
                    lent.append(one)
        except CaptionFlowError as exc:
            logger.debug("No image of which the caption is known: %s", exc)
        return lent

    async def image(self, lent: Lent) -> bytes:
        """Read an image; empty where it is not there any more."""
        read = await self._read(lent.probe.name)
        return read[0] if read else b""

    @staticmethod
    def handout(lent: Lent) -> Handout:
        """Make of an image what a sample of the job would be."""
        probe = lent.probe
        holding = Holding(
            entry=lent.entry,
            stage=probe.stage,
            image=lent.entry,
            attempt=1,
            passed=(),
            elsewhere=False,
            bytes=probe.bytes,
            noted=0,
        )
        return Handout(holding, probe.sample, (), b"")

    async def _lend(self, lease_ms: int) -> tuple[Lent, Handout] | None:
        pool, settings = self._pool, self._pool.view.newest
        shown = await self._shown()
        name = pool.known.pick(shown)
        if name is None or settings is None:
            self._owed = 0
            return None
        shown.add(name)
        read = await self._read(name)
        if read is None:
            logger.warning("The image %s, whose caption is known, cannot be read", name)
            return None
        entry = blank()
        donor = pool.donors.take(self._contributor)
        if donor is None:
            return None
        sample = records.encode(self._disguised(name, read[1], entry, donor))
        probe = Probe(name, settings.order[0], sample, len(sample) + len(read[0]))
        if not await pool.probes.lend(self._consumer, self._contributor, entry, probe, lease_ms):
            return None
        lent = Lent(entry, probe)
        return lent, self.handout(lent)

    async def _shown(self) -> set[str]:
        known = self._pool.shown
        if self._contributor not in known:
            known[self._contributor] = await self._pool.probes.shown(self._contributor)
        return known[self._contributor]

    async def _read(self, name: str) -> tuple[bytes, Picture] | None:
        settings = self._pool.view.newest
        if settings is None:
            return None
        return await asyncio.to_thread(self._pool.known.read, name, settings.settings.images)

    def _disguised(self, name: str, picture: Picture, entry: EntryId, donor: Sample) -> Sample:
        truth = self._pool.known.truth(name)
        told = donor.columns if truth is None or truth.columns is None else truth.columns
        made = Sample(entry, donor.dataset, "", "", name, columns=told, sampling=donor.sampling)
        return self._bare(made.showing(picture), entry)

    def _bare(self, sample: Sample, entry: EntryId) -> Sample:
        source = base_name(sample.source) if self._names_files() else ""
        return replace(sample, id=entry, shard=ROOT_SHARD, chunk="", source=source)

    def _names_files(self) -> bool:
        """Whether a prompt of the job uses the name of the file."""
        settings = self._pool.view.newest
        stages = settings.settings.stages if settings else ()
        return any(
            FILENAME in asked for s in stages for asked in (s.system_prompt or "", *s.prompts)
        )

    def _is_alike(self, holding: Holding) -> bool:
        """Whether a sample is of the kind that images with known captions are sent as."""
        settings = self._pool.view.newest
        if settings is None or holding.elsewhere or holding.passed:
            return False
        first = settings.order[0]
        return holding.stage == first and settings.stages[first].image
