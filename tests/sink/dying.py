"""Sinks in processes of their own, forked one after another, that die at a step or a moment.

`python -m tests.sink.dying` reads orders from its standard input, one a line, and answers each with
the exit code of its sink. It imports everything once, since that takes far longer than a fork.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import Struct

from caption_flow.lifecycle import Drain
from caption_flow.queue import consumer
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.sink.sink import PartSize, Sink
from tests.made import LEASE
from tests.roles import AMPLE
from tests.sink.steps import SteppingFolder, SteppingQueue

SENT = "sent"  # a commit is on its way, and unanswered: a step that only a process can die at
PART_SECONDS = 1000.0  # a part is finished when it is full, or when no caption will come


class Order(Struct, frozen=True):
    """How one sink lives."""

    url: str
    data_dir: str
    job: str
    name: str
    rows: int  # in a part
    step: str = ""  # at which it dies; empty: at none
    part: int = 1  # at this step of which of its parts, from 1
    steps: int = 0  # of any kind, until it is killed from outside; 0: it is not
    seconds: float = 0.0  # from the last of them to its death


class DyingQueue(SteppingQueue):
    """Can die while a commit is on its way."""

    fuse: "Fuse"

    async def commit(
        self, part: str, record: bytes, entries: object, *, epoch: str = ""
    ) -> list[str]:
        commit = asyncio.ensure_future(super().commit(part, record, entries, epoch=epoch))  # type: ignore[arg-type]
        if part and self.fuse.burns(SENT):
            # The more turns of the loop, the farther it has come.
            for _ in range(self.fuse.order.part):
                await asyncio.sleep(0)
            die()
        return await commit


class Fuse:
    """Counts steps until the one to die at."""

    def __init__(self, order: Order, begun: int) -> None:
        self.order = order
        self._left = order.part
        self._begun = begun  # a pipe to who counts its steps

    def __call__(self, step: str) -> None:
        os.write(self._begun, b".")
        if self.burns(step):
            die()

    def burns(self, step: str) -> bool:
        self._left -= step == self.order.step
        return step == self.order.step and self._left == 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def sink(order: Order, begun: int) -> None:
    """Run one sink, as `caption-flow sink --exit-when-done` does."""
    fuse = Fuse(order, begun)
    async with connect(order.url, role="sink") as connections:
        queue = DyingQueue(RedisJob(connections, order.job), order.name, fuse)
        queue.fuse = fuse
        await Sink(
            queue,
            SteppingFolder(Path(order.data_dir), order.job, fuse),
            outputs=["captions"],
            fields={},
            size=PartSize(rows=order.rows, seconds=PART_SECONDS, budget=AMPLE.samples),
            lease_seconds=LEASE,
            drain=Drain(),
            exit_when_done=True,
        ).run()
        await queue.close()


def live(order: Order) -> int:
    """Let a sink live in a process of its own; answers how it ended."""
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(sink(order, begin))
        os._exit(0)
    os.close(begin)
    if order.steps:
        for _ in range(order.steps):
            os.read(begun, 1)
        time.sleep(order.seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(begun)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Carry out orders until there are no more."""
    consumer.BLOCK_MS = 20
    consumer.RECLAIM_SECONDS = 0.01
    pa.Table.from_pylist([{"id": "0"}])  # or each sink would import pandas, for 0.2 s
    for line in sys.stdin:
        print(live(msgspec.json.decode(line, type=Order)), flush=True)


if __name__ == "__main__":
    main()
