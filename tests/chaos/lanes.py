"""Chaos, a job of several lanes seen through its Redis: what stands in all of them."""

from collections import Counter
from collections.abc import Callable

from caption_flow.queue.lanes.plan import heads_of
from tests.e2e.jobs import STREAMS, Job


class LanedJob(Job):
    """Adds up what its lanes say."""

    def __init__(self, url: Callable[[], str | None], name: str, count: int) -> None:
        super().__init__(url, name)
        self._lanes = tuple(Job(url, name, lane) for lane in range(count))

    @property
    def lanes(self) -> tuple[Job, ...]:
        return self._lanes

    def counts(self) -> dict[str, int]:
        # In this order: a lane that knows its last step has counted it.
        heads = heads_of(
            [one.cli("HGET", one.key("cursors"), "plan").encode() for one in self.lanes]
        )
        books: Counter[str] = Counter()
        for one in self.lanes:
            books.update(one.counts())
        return dict(books) | {"plan_done": int(heads.done)} if books else {}

    def lengths(self) -> dict[str, int]:
        return {stream: sum(one.length(stream) for one in self.lanes) for stream in STREAMS}

    def pending(self, stream: str) -> dict[str, int]:
        held: Counter[str] = Counter()
        for one in self.lanes:
            held.update(one.pending(stream))
        return dict(held)
