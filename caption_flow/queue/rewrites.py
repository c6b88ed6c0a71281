"""Queue: parts that lose rows, on Redis. What is to become of them is written down before.

`rewrite`, then the file is replaced, then `rewritten`: whoever finds the file replaced does the
last step, and once.
"""

import secrets
from collections.abc import Iterable, Sequence

import msgspec

from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports.recall import Begun, Rewrite


class RedisRewrites(RedisJob):
    """What several roles ask of parts; see CaptionQueue and Recall in the ports."""

    async def records(self) -> dict[str, bytes]:
        """Read what is recorded of each committed part."""
        with translated():
            records = await self.client.hgetall(self.lane.parts)
        return {name.decode(): record for name, record in records.items()}

    async def records_of(self, parts: Sequence[str]) -> dict[str, bytes]:
        """Read what is recorded of these, as far as they are."""
        if not parts:
            return {}
        with translated():
            records = await self.client.hmget(self.lane.parts, list(parts))
        told = zip(parts, records, strict=True)
        return {part: record for part, record in told if record is not None}

    async def begin_rewrite(
        self, part: str, seen: bytes, rewrite: Rewrite, ids: Iterable[str], *, most: int
    ) -> Begun:
        """Write down what is to become of a part; "moved" where it is not recorded as seen."""
        lane = self.lane
        answer: bytes = await self.scripts.run(
            "rewrite",
            [lane.parts, lane.rewrites, lane.chunks, lane.retried, lane.cursors, lane.epoch],
            [part, seen, msgspec.json.encode(rewrite), most, _word(), *map(keys.id_to, ids)],
        )
        return answer.decode()  # type: ignore[return-value]

    async def rewrites(self) -> dict[str, str]:
        """Name the parts that are losing rows, each with the token of that rewriting."""
        with translated():
            told = await self.client.hgetall(self.lane.rewrites)
        decode = msgspec.json.Decoder(Rewrite).decode
        return {part.decode(): decode(rewrite).token for part, rewrite in told.items()}

    async def finish_rewrite(self, part: str, token: str) -> bool:
        """Do what was written down, now that the part has lost its rows; False: it is done."""
        lane = self.lane
        places = [lane.parts, lane.rewrites, lane.contributors, lane.counts]
        places += [lane.chunks, lane.cursors, lane.epoch, lane.shards, lane.shard_names]
        return bool(await self.scripts.run("rewritten", places, [part, token, _word()]))

    async def cancel_rewrite(self, part: str, token: str) -> None:
        """Note that the part will not lose its rows."""
        await self.scripts.run("unwrite", [self.lane.rewrites], [part, token])


def _word() -> str:
    return secrets.token_hex(8)
