"""Queue: whether samples wait that nobody has claimed yet, for all sessions of a proxy at once.

One reader that blocks stands for thousands of consumers that would. It claims nothing.
"""

from collections.abc import Sequence
from typing import Any

from redis import exceptions as foreign

from caption_flow.queue import keys
from caption_flow.queue.border import translated, translation
from caption_flow.queue.connect import BLOCK_MS
from caption_flow.queue.job import RedisJob

_BEGINNING = b"0-0"


class News:
    """What is new in the sample streams of a job."""

    def __init__(self, job: RedisJob) -> None:
        self._lane = job.lane
        self._commands: Any = job.connections.commands
        self._blocking: Any = job.connections.blocking

    async def waiting(self, stages: Sequence[str]) -> set[str]:
        """Name those of the stages in which samples wait; none when none came for BLOCK_MS."""
        streams = {self._lane.samples(stage).encode(): stage for stage in stages}
        after = await self._delivered(list(streams))
        with translated():
            # One entry tells that there are some; the others would come for nothing.
            answer = await self._blocking.xread(after, count=1, block=BLOCK_MS)
        return {streams[stream] for stream, _ in answer or ()}

    async def _delivered(self, streams: Sequence[bytes]) -> dict[bytes, bytes]:
        """Find the last entry of each stream that was given to anybody."""
        pipe = self._commands.pipeline(transaction=False)
        for stream in streams:
            pipe.xinfo_groups(stream)
        with translated():
            told = await pipe.execute(raise_on_error=False)
        return {stream: _last(groups) for stream, groups in zip(streams, told, strict=True)}


def _last(groups: Any) -> bytes:
    if isinstance(groups, foreign.ResponseError):  # there is no such stream yet
        return _BEGINNING
    if isinstance(groups, Exception):
        raise translation(groups) or groups
    ids = [group["last-delivered-id"] for group in groups if group["name"] == keys.WORKERS.encode()]
    return ids[0] if ids else _BEGINNING
