"""Worker: a sample in its hands, from claim to settlement."""

import asyncio

from caption_flow.model import Lease

ENGINE_DIED = "engine_died"  # reason of a sample that was inside when an engine died


class Hand:
    """A sample in the worker's hands."""

    def __init__(self, lease: Lease, *, max_attempts: int) -> None:
        self.lease = lease
        self.task: asyncio.Task[None] | None = None
        self.inside = False  # being captioned, or captioned and not settled yet
        # Runs alone: it was there when an engine died, or is on its last attempt, which its
        # neighbours shall not spoil, nor it theirs.
        self.suspect = _died_before(lease) or lease.attempt >= max(2, max_attempts)
        self.witnessed: str | None = None  # how an engine of ours died with it and others inside

    @property
    def is_settling(self) -> bool:
        """Nothing is left to do but to tell the queue, whose answer says if it is still ours."""
        return self.task.done() if self.task is not None else self.inside


def _died_before(lease: Lease) -> bool:
    return any(failure.reason == ENGINE_DIED for failure in lease.failures)
