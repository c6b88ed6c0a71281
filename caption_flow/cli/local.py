"""Command line: a job whose roles are children of this process; what `run` and
`orchestrator` share.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec

from caption_flow import logs
from caption_flow.cli.laned import inspector_of
from caption_flow.cli.naming import job_name
from caption_flow.cli.options import DUMP_VARIABLE, LOG_FORMAT
from caption_flow.cli.running import (
    checked_redis,
    embedded_directory,
    redis_url,
    run_async,
)
from caption_flow.cli.telling import Teller
from caption_flow.config import JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import StorageBlocked
from caption_flow.lifecycle import Drain
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.model import DeadLetter
from caption_flow.patience import Patience
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Snapshot
from caption_flow.supervisor.job import LocalJob, Plan, handed_down, redis_for
from caption_flow.supervisor.supervisor import Supervisor

# What is not for roles of this job: where a worker of this host may be sent otherwise (they come
# to its Redis), a port that only one can have, and who speaks here.
_ELSEWHERE = frozenset(
    {"CAPTION_FLOW_SERVER", "CAPTION_FLOW_TOKEN", "CAPTION_FLOW_METRICS_PORT", logs.INHERITED}
)
# Says of a job on a Redis that is up whether there is a proxy.
LetsIn: TypeAlias = Callable[[RedisJob], Awaitable[bool]]

LOGS = ".logs"  # under the data directory, by job: what the roles print


def run_job(
    config: JobConfig,
    plan: Plan,
    *,
    started: Callable[[str, JobConfig], None],
    watch: Callable[[Snapshot], None],
    teller: Teller,
    vitals: Vitals,
    ready: Callable[[], None] = lambda: None,
    lets_in: LetsIn | None = None,
) -> tuple[Snapshot, list[DeadLetter]]:
    """Run the roles of a job here; `started` is told the URL of its Redis.

    `ready` is called once all of them are at work, the settings published. `lets_in` says whether
    there is a proxy where the plan has none; before any role is started.
    """
    seeing = _Seeing(teller, vitals, watch, ready)
    data_dir = Path(config.storage.data_dir)
    with suppress(StorageBlocked):  # what can be mended while it runs, the sink will wait for
        PartFolder(data_dir, job_name(config)).make()
    with redis_for(config, embedded_directory(config)) as server:
        config = msgspec.structs.replace(
            config, redis=server.url, job=job_name(config), metrics_port=None
        )
        with handed_down(config) as settings:
            environ = environ_of(config, settings)
            supervisor = Supervisor(data_dir / LOGS / str(config.job), environ)
            teller.learn(job=config.job)
            logs.speak_as(job=str(config.job))
            vitals.job = str(config.job)
            started(server.url, config)
            return run_async(
                lambda drain: _run(
                    config,
                    vitals,
                    plan,
                    lambda whole: LocalJob(
                        supervisor, whole, server, teller.follow(drain), ready=seeing.begin
                    ),
                    seeing.see,
                    drain,
                    lets_in,
                )
            )


def environ_of(config: JobConfig, settings: Path) -> dict[str, str]:
    """Give the roles of a job their variables; its settings are handed down in a file."""
    return {
        **{name: value for name, value in os.environ.items() if name not in _ELSEWHERE},
        DUMP_VARIABLE: str(settings),
        "CAPTION_FLOW_REDIS": str(config.redis),
        "CAPTION_FLOW_JOB": str(config.job),
        LOG_FORMAT: "json" if logs.in_json() else "plain",
    }


async def _run(
    config: JobConfig,
    vitals: Vitals,
    plan: Plan,
    made: Callable[[Plan], LocalJob],
    watch: Callable[[Snapshot], None],
    drain: Drain,
    lets_in: LetsIn | None,
) -> tuple[Snapshot, list[DeadLetter]]:
    url, budget = redis_url(config), config.budget.bytes
    async with checked_redis(url, "supervisor", drain, budget=budget) as connections:
        inspector = inspector_of(RedisJob(connections, job_name(config)), config.lanes)
        if lets_in is not None and not plan.proxy:
            proxy = await Patience(drain)(lambda: lets_in(inspector))
            plan = msgspec.structs.replace(plan, proxy=proxy)
        async with Pulse(vitals):
            return await made(plan).run(inspector, watch)


class _Seeing:
    """Passes on what is seen of a job, to who watches and to who is told."""

    def __init__(
        self,
        teller: Teller,
        vitals: Vitals,
        watch: Callable[[Snapshot], None],
        ready: Callable[[], None],
    ) -> None:
        self._teller = teller
        self._vitals = vitals
        self._watch = watch
        self._ready = ready
        self._begun = False

    def begin(self) -> None:
        self._begun = True
        self._ready()

    def see(self, snapshot: Snapshot) -> None:
        state = self._state(snapshot)
        workers = sum(member.role == "worker" for member in snapshot.members)
        self._teller.learn(snapshot.counts, state=state, workers=workers)
        self._vitals.see(snapshot, state)
        self._watch(snapshot)

    def _state(self, snapshot: Snapshot) -> str:
        if not self._begun:
            return "starting"
        if self._teller.stopped:
            return "draining"
        return "paused" if snapshot.paused else "working"
