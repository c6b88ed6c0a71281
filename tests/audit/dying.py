"""Who merges parts, in a process of its own that dies at a step.

`python -m tests.audit.dying` reads orders from its standard input, one a line, and answers each
with the exit code of who merged. It imports everything once, since that takes longer than a fork.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from caption_flow.audit.compact import Compaction
from caption_flow.audit.registers import FolderRegister, QueueRegister
from caption_flow.dataset import merging
from caption_flow.dataset.merging import Merging
from caption_flow.dataset.parts import PartFolder
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from tests.made import LEASE


class Order(Struct, frozen=True):
    """How one of them lives."""

    data_dir: str
    job: str
    step: str  # after which it dies
    url: str = ""  # of Redis; empty: by the folder alone
    rows: int = 100  # in a part


# step -> what was done by then, and which time
STEPS: dict[str, tuple[Any, str, int]] = {
    "opened": (PartFolder, "begin_merged", 1),
    "written": (Merging, "write", 1),
    "recorded": (RedisCaptionQueue, "merge_parts", 1),
    "renamed": (Path, "rename", 1),
    "published": (PartFolder, "publish", 1),
    "retired in part": (Path, "rename", 2),
    "retired": (merging, "retire", 1),
    "deleted in part": (Path, "unlink", 1),
}


def die_after(step: str) -> None:
    """Let this process die at a step."""
    where, name, times = STEPS[step]
    done: Callable[..., Any] = getattr(where, name)
    left = [times]

    def died(answer: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    if asyncio.iscoroutinefunction(done):

        async def dies_later(*given: Any) -> Any:
            return died(await done(*given))

        setattr(where, name, dies_later)
    else:
        setattr(where, name, lambda *given, **how: died(done(*given, **how)))


async def merge(order: Order) -> None:
    """Merge parts as `caption-flow compact` does."""
    folder = PartFolder(Path(order.data_dir), order.job)
    if not order.url:
        await Compaction(folder, FolderRegister(folder), rows=order.rows).run()
        return
    async with connect(order.url, role="compact") as connections:
        queue = RedisCaptionQueue(
            RedisJob(connections, order.job), name="compact", lease_seconds=LEASE
        )
        await Compaction(folder, QueueRegister(folder, queue), rows=order.rows).run()


def live(order: Order) -> int:
    """Let it live in a process of its own; answers how it ended."""
    child = os.fork()
    if child == 0:
        die_after(order.step)
        asyncio.run(merge(order))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Carry out orders until there are no more."""
    pa.Table.from_pylist([{"id": "0"}])  # or each would import pandas, for 0.2 s
    for line in sys.stdin:
        print(live(msgspec.json.decode(line, type=Order)), flush=True)


if __name__ == "__main__":
    main()
