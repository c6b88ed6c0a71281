"""Command line: a whole pipeline for a bench: a Redis, a feeder and a sink of its own, and a worker
in this process, around engines that are loaded already.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.bench.lent import Lent
from caption_flow.bench.steady import Look, machine_cpu
from caption_flow.cli.local import LOGS, environ_of
from caption_flow.cli.naming import job_name
from caption_flow.cli.running import checked_redis, embedded_directory, find_job
from caption_flow.cli.worker import references_of
from caption_flow.config import JobConfig, WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.parts import PartFolder
from caption_flow.engine.port import Engine
from caption_flow.herald import Herald, member_name
from caption_flow.lifecycle import Drain, cancel
from caption_flow.monitor.limits import limit
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.ports import Snapshot
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.supervisor.job import LocalJob, Plan, handed_down, redis_for
from caption_flow.supervisor.supervisor import Supervisor
from caption_flow.worker.crew import Crew, Outfit
from caption_flow.worker.served import Served
from caption_flow.worker.watch import Told

LOOK_SECONDS = 0.1
DRAIN_SECONDS = 5.0  # for what is in the engine when a bench is over before its samples are


class Ran(Struct, frozen=True):
    """What became of a pipeline."""

    looks: tuple[Look, ...]
    written: int  # captions in its parts
    dead: int  # samples that it gave up
    reasons: Mapping[str, int]  # of the newest of them


async def ran(
    config: JobConfig,
    engines: Mapping[bytes, Engine],
    drain: Drain,
    *,
    longest: float,
    repeated: bool,
) -> Ran:
    """Run a job in its folder, for so many seconds at most.

    `engines`: by the keys that tell them apart. `repeated`: see Lent.
    """
    ends = drain.part()
    folder = Path(config.storage.data_dir)
    with redis_for(config, embedded_directory(config)) as server:
        config = replace(config, redis=server.url)
        with handed_down(config) as settings:
            supervisor = Supervisor(folder / LOGS, environ_of(config, settings))
            plan = Plan(workers=(), ends=True, drain_timeout=DRAIN_SECONDS)
            job = LocalJob(supervisor, plan, server, ends)
            async with checked_redis(server.url, "bench", drain) as connections:
                watching = _Watching()
                lent = {key: Lent(each, repeated=repeated) for key, each in engines.items()}
                # As the workers of a run, which fetch from where its document says.
                own = WorkerConfig(
                    drain_timeout=DRAIN_SECONDS, allow_networks=config.dataset.allow_networks
                )
                working = asyncio.create_task(_work(connections, own, lent, watching, ends))
                timing = asyncio.create_task(_end_after(longest, ends))
                try:
                    inspector = RedisInspector(connections, job_name(config))
                    last, _ = await job.run(inspector, watching.see)
                    ends.ask()
                    await working
                finally:
                    await cancel(working, timing)
    rows = PartFolder(folder, job_name(config)).rows()
    return Ran(tuple(watching.looks), rows, last.counts.dead, last.reasons)


async def _end_after(seconds: float, ends: Drain) -> None:
    await asyncio.sleep(seconds)
    ends.ask()


async def _work(
    connections: Connections,
    config: WorkerConfig,
    lent: Mapping[bytes, Lent],
    watching: "_Watching",
    ends: Drain,
) -> None:
    """Be the worker, and let the rest end with it."""
    try:
        found = await find_job(connections, None, ends)
        if found is None:
            return
        job, published = found
        name = member_name("bench")

        def engine(_: Broadcast, needed: Served) -> Engine:
            return lent[needed.key]

        outfit = Outfit(
            engine=engine,
            queue=lambda consumer: RedisWorkQueue(job, name=consumer),
            references=lambda settings: references_of(config, settings),
        )
        crew = Crew(job, Told.of(published), outfit, config, name=name, drain=ends)
        herald = Herald(job, role="worker", name=name, figures=crew.figures, facts=crew.facts)
        looking = asyncio.create_task(watching.look(crew))
        try:
            async with herald:
                await crew.run(herald)
        finally:
            await cancel(looking)
    finally:
        ends.ask()


class _Watching:
    """Looks at a worker, and at what its job says of itself."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self._snapshot: Snapshot | None = None

    def see(self, snapshot: Snapshot) -> None:
        """Take in how the job stands."""
        self._snapshot = snapshot

    async def look(self, crew: Crew) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.looks.append(self._look(crew.figures()))
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, figures: Mapping[str, float]) -> Look:
        found = None if self._snapshot is None else limit(self._snapshot)
        return Look(
            at=time.monotonic(),
            captions=int(figures["samples"]),
            free=figures["free_lately"],
            idle=figures["idle_lately"],
            worker_cpu=time.process_time(),
            machine_cpu=machine_cpu(),
            limit=found.kind if found else "",
            why=found.sentence if found else "",
        )
