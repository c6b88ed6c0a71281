"""Queue: images with known captions in the hands of contributors' workers.

They stand in no stream. What is known of each is kept beside the leases of its worker, so that a
client that comes back through another proxy finds it as it finds its samples.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.model import EntryId
from caption_flow.queue.border import translated
from caption_flow.queue.checks import RedisChecks, Unjudged
from caption_flow.queue.ports.checks import Verdict


class Probe(Struct, frozen=True):
    """An image with a known caption, as it was sent to a client."""

    name: str  # of the image, in the folder
    stage: str
    sample: bytes  # as the client was told, JSON
    bytes: int  # of that and of its image


_probe = msgspec.msgpack.Decoder(Probe)


class RedisProbes(RedisChecks):
    """What one consumer was lent."""

    async def seal_key(self, made: bytes) -> bytes:
        """Agree on a key with the other proxies of the job: this one, if there is none."""
        with translated():
            known: bytes | None = await self.client.set(self.lane.seal, made, nx=True, get=True)
        return known or made

    async def shown(self, contributor: str) -> set[str]:
        """Read which images a contributor has seen."""
        with translated():
            told = await self.client.smembers(self.lane.shown(contributor))
        return {name.decode("utf-8", "replace") for name in told}

    async def lend(
        self, consumer: str, contributor: str, entry: EntryId, probe: Probe, lease_ms: int
    ) -> bool:
        """Note that an image is sent; False where the contributor has seen it before."""
        places = [self.lane.probes(consumer), self.lane.shown(contributor)]
        arguments = [entry, msgspec.msgpack.encode(probe), probe.name, lease_ms]
        return bool(await self.scripts.run("lend", places, arguments))

    async def inherit(self, former: str, consumer: str, lease_ms: int) -> Mapping[EntryId, Probe]:
        """Take over what a former consumer of the same client was lent."""
        places = [self.lane.probes(former), self.lane.probes(consumer)]
        told: list[Any] = await self.scripts.run("inherit", places, [lease_ms])
        return {
            entry.decode(): _probe.decode(probe)
            for entry, probe in zip(told[::2], told[1::2], strict=True)
        }

    async def renew_probes(self, consumer: str, lease_ms: int) -> bool:
        """Let what is lent be in hand for a lease anew; False where it is not any more."""
        with translated():
            return bool(await self.client.pexpire(self.lane.probes(consumer), lease_ms))

    async def forget_probes(self, consumer: str) -> None:
        """Let go of all that is lent."""
        with translated():
            await self.client.delete(self.lane.probes(consumer))

    async def judge_probe(
        self, consumer: str, entry: EntryId, contributor: str, verdict: Verdict | Unjudged
    ) -> bool:
        """Count what was found; once, whoever repeats it."""
        note = self.lane.probes(consumer)
        return bool(
            await self.scripts.run("verdict", *self._verdict(note, entry, contributor, verdict))
        )
