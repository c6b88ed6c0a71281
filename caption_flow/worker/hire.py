"""Worker: how a Worker is made, with all that is its own."""

import os
from collections.abc import Callable

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.port import Engine
from caption_flow.lifecycle import Drain
from caption_flow.queue.ports import WorkQueue
from caption_flow.worker.caption import Captioner
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.duty import Duty
from caption_flow.worker.meter import Meter
from caption_flow.worker.post import Shift
from caption_flow.worker.references import References
from caption_flow.worker.worker import Worker

MOST_THREADS = 8  # more decode threads only wait for one another


class Hiring:
    """Makes the Workers of one process; rows name the process."""

    def __init__(
        self,
        queue: Callable[[str], WorkQueue],
        config: WorkerConfig,
        *,
        name: str,
        drain: Drain,
        paused: Callable[[], bool],
    ) -> None:
        """`queue` makes one by the name of its consumer."""
        self._queue = queue
        self._config = config
        self._name = name
        self._drain = drain
        self._paused = paused
        self._hired = 0

    def hire(
        self, engine: Engine, settings: Broadcast, duty: Duty, references: References
    ) -> Shift:
        """Make a Worker around an engine."""
        config, drain, meter = self._config, self._drain.part(), Meter(engine.capacity)
        timeout = config.engine_timeout or settings.engine_timeout
        caretaker = Caretaker(engine, timeout=timeout, meter=meter, drain=drain)
        captioner = Captioner(
            caretaker,
            drain=drain,
            worker=self._name,
            contributor="",
            threads=config.decode_threads or min(MOST_THREADS, os.cpu_count() or 1),
        )
        queue = self._queue(self._consumer())
        worker = Worker(
            queue,
            caretaker,
            captioner,
            meter,
            references,
            duty=duty,
            name=self._name,
            lease_seconds=settings.lease_seconds,
            drain=drain,
            drain_timeout=config.drain_timeout,
            exit_when_done=config.exit_when_done,
            paused=self._paused,
            of_others=config.server is not None,
        )
        return Shift(worker, caretaker, queue, drain)

    def _consumer(self) -> str:
        """Name a consumer like no other: two of one name would take each other's leases."""
        self._hired += 1
        return f"{self._name}.{self._hired}"
