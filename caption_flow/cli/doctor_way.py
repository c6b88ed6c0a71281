"""Command line: the doctor on its way to the job: to its Redis, or to a proxy."""

from collections.abc import Mapping

from msgspec import Struct, field

from caption_flow.cli.entering import entrance
from caption_flow.cli.laned import inspector_of, lanes_in
from caption_flow.cli.naming import dataset_identity, known_job
from caption_flow.cli.running import embedded_directory
from caption_flow.config import JobConfig
from caption_flow.doctor import clocks, proxy, server
from caption_flow.doctor.finding import Finding, ok, problem, skipped, told
from caption_flow.engine.aside import aside
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.grants import Role
from caption_flow.herald import member_name
from caption_flow.queue.connect import Connections, connect
from caption_flow.queue.embedded import running_url
from caption_flow.queue.job import RedisJob, only_job
from caption_flow.queue.ports import Snapshot
from caption_flow.remote.entrance import Entrance

JOB = "job"


class Met(Struct, frozen=True):
    """What there was to find on the way, and to hear of the job."""

    findings: tuple[Finding, ...]
    ahead: Mapping[str, float] = field(default_factory=dict)  # clocks: seconds before ours
    settings: bytes | None = None  # that the job has published
    snapshot: Snapshot | None = None  # of the job; None: it was not seen
    granted: Role | None = None  # what the token is for; None: none was shown, or it is no good
    stages: tuple[str, ...] = ()  # that it is for; none: all


async def meet(config: JobConfig) -> Met:
    """Go to the job by the way that is configured, and look around there."""
    if config.server:
        passed_by = skipped(server.CHECK, "The job is reached through a proxy.")
        return await _at_proxy(config, passed_by)
    passed_by = skipped(proxy.CHECK, "No server is configured to come in through.")
    url = config.redis or running_url(embedded_directory(config))
    if url is None:
        own = await aside(server.own_server)
        return Met((own, skipped(JOB, "No Redis runs here that could have one."), passed_by))
    try:
        async with connect(url, role="doctor") as connections:
            return await _at_redis(config, connections, passed_by)
    except ConfigError as exc:  # of a URL that is none
        return Met((server.mistaken(exc), passed_by))


async def _at_redis(config: JobConfig, connections: Connections, passed_by: Finding) -> Met:
    visited = await server.visit(connections, config.budget.bytes)
    if not visited.fit:
        unasked = skipped(JOB, "That server cannot be asked.")
        return Met((*visited.findings, unasked, passed_by))
    ahead = {f"the server {connections.host}": visited.ahead}
    try:
        met = await _job(config, connections, visited.ahead)
    except CaptionFlowError as exc:
        met = Met((told(JOB, "problem", exc, "Name it with --job."),))
    return Met(
        (*visited.findings, *met.findings, passed_by),
        ahead | dict(met.ahead),
        met.settings,
        met.snapshot,
    )


async def _job(config: JobConfig, connections: Connections, ahead: float) -> Met:
    """Look at the job of a server whose clock is so many seconds before ours."""
    name = known_job(config) or await only_job(connections)
    one = RedisJob(connections, name or "")
    settings = await one.settings() if name else None
    if settings is None:
        which = f' "{name}"' if name else ""
        return Met((skipped(JOB, f"{connections.host} has no job{which} yet."),))
    job = inspector_of(one, lanes_in(settings))
    owner, path = await job.dataset(), config.dataset.dataset_path
    if path and owner not in {None, ours := dataset_identity(config)}:
        said = f'The job "{name}" there captions {owner}, and not {ours}.'
        cure = "Name another job with --job, or give that data set."
        return Met((problem(JOB, said, cure),))
    last = await job.snapshot()
    done = f"{last.counts.captioned:,} of {last.counts.planned:,} planned samples captioned"
    return Met(
        (ok(JOB, f'"{name}": {done}, {len(last.members)} processes.'),),
        {whose: seconds + ahead for whose, seconds in clocks.members_ahead(last.members)},
        settings.document,
        last,
    )


async def _at_proxy(config: JobConfig, passed_by: Finding) -> Met:
    def way(role: Role) -> Entrance:
        return entrance(config, role, member_name("doctor"))

    try:
        answered = await proxy.ask(way)
    except ConfigError as exc:  # of an address or a token that is none
        return Met((passed_by, told(proxy.CHECK, "problem", exc, "Mend it.")))
    visit = answered.visit
    if visit is None:
        return Met((passed_by, answered.finding))
    ahead = {} if visit.ahead is None else {"the proxy": visit.ahead}
    return Met(
        (passed_by, answered.finding), ahead, visit.settings, None, visit.role, visit.welcome.stages
    )
