"""Command line: a job whose roles are children of this process; what `run` and
`orchestrator` share.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from caption_flow.cli.options import DUMP_VARIABLE
from caption_flow.cli.running import checked_redis, embedded_directory, job_name, run_async
from caption_flow.config import JobConfig
from caption_flow.lifecycle import Drain
from caption_flow.model import DeadLetter
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.ports import Snapshot
from caption_flow.supervisor.job import LocalJob, Plan, handed_down, redis_for
from caption_flow.supervisor.supervisor import Supervisor

LOGS = ".logs"  # under the data directory: what the roles print
DEAD_SHOWN = 5


def run_job(
    config: JobConfig,
    plan: Plan,
    *,
    started: Callable[[str, JobConfig], None],
    watch: Callable[[Snapshot], None],
) -> tuple[Snapshot, list[DeadLetter]]:
    """Run the roles of a job here; `started` is told the URL of its Redis."""
    data_dir = Path(config.storage.data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    with redis_for(config, embedded_directory(config)) as url:
        config = msgspec.structs.replace(config, redis=url, job=job_name(config))
        with handed_down(config) as settings:
            environ = {
                **os.environ,
                DUMP_VARIABLE: str(settings),
                "CAPTION_FLOW_REDIS": url,
                "CAPTION_FLOW_JOB": str(config.job),
            }
            supervisor = Supervisor(data_dir / LOGS, environ)
            started(url, config)
            return run_async(
                lambda drain: _run(config, url, LocalJob(supervisor, plan, drain), watch, drain)
            )


async def _run(
    config: JobConfig,
    url: str,
    job: LocalJob,
    watch: Callable[[Snapshot], None],
    drain: Drain,
) -> tuple[Snapshot, list[DeadLetter]]:
    async with checked_redis(url, "supervisor", drain) as connections:
        inspector = RedisInspector(connections, job_name(config))
        last = await job.run(inspector, watch)
        return last, await inspector.dead_letters(DEAD_SHOWN)
