"""Worker: a sample in its hands, from claim to settlement."""

import asyncio

from msgspec import UNSET

from caption_flow.model import Lease
from caption_flow.worker.duty import Visit

ENGINE_DIED = "engine_died"  # reason of a sample that was inside when an engine died
# Workers that may vanish with a sample before it is tried alone. One may go any time, and takes
# all it holds with it; so many are slow alone, and a slow worker has more in its hands when it
# goes: where workers live for seconds only, two would leave them nothing but samples to try alone.
MOST_ORPHANED = 3


class Hand:
    """A sample in the worker's hands."""

    def __init__(self, lease: Lease, *, shown: bool) -> None:
        self.lease = lease
        self.task: asyncio.Task[None] | None = None
        self.shown = shown  # the image is fetched, since a stage of its visit needs it
        # Where it lies if a download brings it, and whether that is still under way.
        self.reference = lease.sample.reference
        self.coming = shown and self.reference is not UNSET
        self.visit: Visit | None = None  # once it has begun
        self.inside = False  # being captioned, or captioned and not settled yet
        # It may be what the workers die of that hold it, or have been beside what they die of.
        self.orphan = lease.orphaned >= MOST_ORPHANED
        self.suspect = self.orphan or _died_before(lease)  # runs alone
        self.witnessed: str | None = None  # how an engine of ours died with it and others inside

    @property
    def is_settling(self) -> bool:
        """Nothing is left to do but to tell the queue, whose answer says if it is still ours."""
        return self.task.done() if self.task is not None else self.inside


def _died_before(lease: Lease) -> bool:
    return any(failure.reason == ENGINE_DIED for failure in lease.failures)
