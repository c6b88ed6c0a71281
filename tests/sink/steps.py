"""A sink that tells each of its steps, so that something can happen just there.

All steps are told from threads, so that who is told may take its time.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.temporary import new_name
from caption_flow.model import Caption, EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.job import RedisJob
from tests.made import LEASE, PATIENCE

STEPS = (
    "opened",  # an empty file
    "appended",
    "written",  # whole, but not yet on the disk
    "prepared",
    "committed",  # and answered
    "renamed",  # but the new name is not yet on the disk
    "published",
)

OnStep = Callable[[str], None]


class SteppingFolder(PartFolder):
    """A folder that tells what its writers have done."""

    def __init__(self, data_dir: Path, job: str, on_step: OnStep) -> None:
        super().__init__(data_dir, job)
        self.on_step = on_step

    def open(self, agreed: ColumnSchema) -> "SteppingPart":
        self.path.mkdir(parents=True, exist_ok=True)
        part = SteppingPart(self, new_name(), agreed)
        self.on_step("opened")
        return part

    def publish(self, part: str) -> None:
        if self.temporary(part).exists():
            self.temporary(part).rename(self.file(part))
            self.on_step("renamed")
        super().publish(part)
        self.on_step("published")


class SteppingPart(OpenPart):
    """A part that tells what was done to it."""

    _folder: SteppingFolder

    def append(self, captions: Sequence[Caption]) -> None:
        super().append(captions)
        self._folder.on_step("appended")

    def prepare(self) -> None:
        super().prepare()
        self._folder.on_step("prepared")

    def _finish(self) -> None:
        super()._finish()
        self._folder.on_step("written")


class SteppingQueue(RedisCaptionQueue):
    """A queue that tells what it has been asked."""

    def __init__(self, job: RedisJob, name: str, on_step: OnStep) -> None:
        super().__init__(job, name=name, lease_seconds=LEASE)
        self._on_step = on_step

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        lost = await super().commit(part, record, entries, epoch=epoch)
        if part and not lost:
            await asyncio.to_thread(self._on_step, "committed")
        return lost


class Hold:
    """Stops a sink at a step of one of its parts, until it is let go."""

    def __init__(self, step: str, part: int = 1) -> None:
        self._step = step
        self._left = part
        self._go = threading.Event()
        self.reached = False

    def __call__(self, step: str) -> None:
        self._left -= step == self._step
        if step == self._step and self._left == 0:
            self.reached = True
            assert self._go.wait(PATIENCE)

    def let_go(self) -> None:
        self._go.set()
