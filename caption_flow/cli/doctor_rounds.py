"""Command line: which checks the doctor makes, by what the settings say and what others answer."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from caption_flow.audit.seeing import See
from caption_flow.cli.doctor_document import Document
from caption_flow.cli.doctor_engine import EngineRounds
from caption_flow.cli.entering import entrance
from caption_flow.cli.listening import is_local
from caption_flow.cli.naming import dataset_identity, known_job
from caption_flow.cli.running import embedded_directory, source_of
from caption_flow.cli.selecting import selection_of
from caption_flow.cli.wording import check_prompts
from caption_flow.config import JobConfig, WorkerConfig
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.dataset.source import Source
from caption_flow.doctor import clocks, dataset, listening, machine, proxy, server, storage
from caption_flow.doctor.finding import Finding, ok, problem, skipped, told
from caption_flow.engine.aside import aside
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.grants import Role
from caption_flow.herald import member_name
from caption_flow.lifecycle import Drain
from caption_flow.queue.connect import Connections, connect
from caption_flow.queue.embedded import running_url
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import only_job
from caption_flow.queue.ports import Snapshot
from caption_flow.remote.entrance import Entrance

T = TypeVar("T")

ROLES = ("feed", "worker", "sink", "proxy")
SECONDS = 120.0  # for one check; a disk or a host may never answer
BEAT_SECONDS = 2.5  # in which each member that lives says a word
_JOB = "job"
# What a token must be for, by what a host is to do.
_GRANTED: dict[Role, str] = {"worker": "worker", "feeder": "feed"}


class Rounds:
    """All checks of one call, each with what the earlier ones have found out."""

    def __init__(
        self,
        document: Document,
        roles: frozenset[str],
        *,
        gpu_id: int | None,
        imports: bool,
        environ: Mapping[str, str],
    ) -> None:
        self._document = document
        self._config = document.config
        self._asked_for = roles
        self._roles = roles or document.roles
        self._gpu_id = gpu_id
        self._imports = imports
        self._environ = environ
        self._found = list(document.findings)
        self._ahead: dict[str, float] = {}  # clocks, by whose they are: seconds before ours
        self._published: bytes | None = None  # the settings of the job
        self._snapshot: Snapshot | None = None
        self._samples = 0  # of the data set, at least

    async def make(self, drain: Drain, see: See) -> list[Finding]:
        """Make all checks, one after another; stop early when asked to."""
        checks: list[tuple[str, Callable[[], object]]] = [
            ("this machine", self._machine),
            ("Redis", self._redis),
            ("the proxy", self._proxy),
            ("clocks", self._clocks),
            ("the data set", partial(self._dataset, drain)),
            ("the disk", self._storage),
            ("where a proxy listens", self._listening),
            ("the engine", self._engine),
        ]
        if not self._document.read:
            checks = checks[:1]
        for number, (name, check) in enumerate(checks):
            see(f"looking at {name}", number, len(checks))
            if drain.asked:
                break
            done = check()
            if asyncio.iscoroutine(done):
                await done
        return self._found

    def _machine(self) -> None:
        config = self._config
        loads = bool({"feed", "worker"} & self._roles)
        needed = config.dataset.download.at_once if loads else 0
        held = config.proxy.most_connections if "proxy" in self._roles else 0
        self._found += [machine.python(), machine.open_files(needed, held)]

    async def _redis(self) -> None:
        config = self._config
        if config.server:
            self._found.append(skipped(server.CHECK, "The job is reached through a proxy."))
            return
        url = config.redis or running_url(embedded_directory(config))
        if url is None:
            self._found.append(await aside(server.own_server))
            self._found.append(skipped(_JOB, "No Redis runs here that could have one."))
            return
        try:
            async with connect(url, role="doctor") as connections:
                await self._at_redis(connections)
        except ConfigError as exc:
            self._found.append(server.mistaken(exc))

    async def _at_redis(self, connections: Connections) -> None:
        visited = await server.visit(connections, self._config.budget.bytes)
        self._found += visited.findings
        if not visited.fit:
            self._found.append(skipped(_JOB, "That server cannot be asked."))
            return
        self._ahead[f"the server {connections.host}"] = visited.ahead
        try:
            self._found.append(await self._job(connections))
        except CaptionFlowError as exc:
            self._found.append(told(_JOB, "problem", exc, "Name it with --job."))

    async def _job(self, connections: Connections) -> Finding:
        name = known_job(self._config) or await only_job(connections)
        job = RedisInspector(connections, name or "")
        settings = await job.settings() if name else None
        if settings is None:
            which = f' "{name}"' if name else ""
            return skipped(_JOB, f"{connections.host} has no job{which} yet.")
        owner, path = await job.dataset(), self._config.dataset.dataset_path
        if path and owner not in {None, ours := dataset_identity(self._config)}:
            said = f'The job "{name}" there captions {owner}, and not {ours}.'
            return problem(_JOB, said, "Name another job with --job, or give that data set.")
        self._published = settings.document
        self._snapshot = await self._looked(job)
        counts = self._snapshot.counts
        said = f'"{name}": {counts.captioned:,} of {counts.planned:,} planned samples captioned'
        return ok(_JOB, f"{said}, {len(self._snapshot.members)} processes.")

    async def _looked(self, job: RedisInspector) -> Snapshot:
        """Look at a job, and at the clocks of its members."""
        first = last = await job.snapshot()
        if any(one.seen < first.at - clocks.APART for one in first.members):
            await asyncio.sleep(BEAT_SECONDS)  # whether they say another word
            last = await job.snapshot()
        for whose, seconds in (
            *clocks.members_ahead(last.members, last.at),
            *clocks.members_behind(first.members, last.members, last.at),
        ):
            self._ahead[whose] = seconds
        return last

    async def _proxy(self) -> None:
        config = self._config
        if not config.server:
            self._found.append(skipped(proxy.CHECK, "No server is configured to come in through."))
            return

        def way(role: Role) -> Entrance:
            return entrance(config, role, member_name("doctor"))

        try:
            answered = await proxy.ask(way)
        except ConfigError as exc:  # of an address or a token that is none
            self._found.append(told(proxy.CHECK, "problem", exc, "Mend it."))
            return
        self._found.append(answered.finding)
        if (visit := answered.visit) is not None:
            self._published = visit.settings
            self._found += self._granted(visit.role)
            if visit.ahead is not None:
                self._ahead["the proxy"] = visit.ahead

    def _granted(self, role: Role) -> list[Finding]:
        """Leave to others what the token is not for; a problem where it was asked for."""
        lacking = sorted(self._asked_for - {_GRANTED.get(role, "")})
        self._roles = self._roles & {_GRANTED.get(role, "")}
        if not lacking:
            return []
        said = f"The token is for the role {role}, and not for what is asked: {', '.join(lacking)}."
        return [problem(proxy.CHECK, said, "Ask the operator of the job for a token of that role.")]

    def _clocks(self) -> None:
        if self._ahead:
            self._found += clocks.check_clocks(self._ahead)
        else:
            why = "Nobody was reached whose clock could be compared."
            self._found.append(skipped(clocks.CHECK, why))

    async def _dataset(self, drain: Drain) -> None:
        config = self._config
        if "feed" not in self._roles or config.dataset.dataset_path is None:
            why = "None is configured; give PATH." if "feed" in self._roles else _NOT_FED
            self._found.append(skipped(dataset.CHECK, why))
            return
        check = partial(
            dataset.check_dataset,
            lambda: source_of(config),
            lambda: _read_here(config),
            selection_of(config.dataset),
            config.images,
        )
        examined = await _in_time(check)
        if examined is None:
            self._found.append(_no_answer(dataset.CHECK))
            return
        self._found += examined.findings
        self._samples = examined.samples
        if all(one.state == "ok" for one in examined.findings):
            await self._prompts(drain)

    async def _prompts(self, drain: Drain) -> None:
        needs = self._config.needs()
        try:
            source = await aside(lambda: source_of(self._config))
            await check_prompts(self._config, source, drain)
        except CaptionFlowError as exc:
            self._found.append(told("prompts", "problem", exc, "Mend the prompts."))
            return
        if needs:
            columns = ", ".join(dict.fromkeys(need.field.name for need in needs))
            self._found.append(ok("prompts", f"The data set has what they name: {columns}."))

    async def _storage(self) -> None:
        config = self._config
        if not {"sink", "feed"} & self._roles or config.server:
            why = "Captions are written elsewhere."
            self._found.append(skipped(storage.CHECK, why))
            return
        data_dir, own = Path(config.storage.data_dir), config.redis is None
        other = 2 * config.budget.bytes if own else 0  # its file, and the one it is rewritten to
        check = partial(
            storage.check_storage, data_dir, known_job(config), self._rows_to_come(), other
        )
        found = await _in_time(check)
        self._found += found if found is not None else [_no_answer(storage.CHECK)]

    def _rows_to_come(self) -> int:
        if self._snapshot is None:
            return self._samples
        counts = self._snapshot.counts
        return max(self._samples, counts.planned) - counts.captioned

    def _listening(self) -> None:
        config = self._config
        if "proxy" not in self._roles:
            for check in (listening.CERTIFICATE, listening.PORT):
                self._found.append(skipped(check, "No proxy is to run here."))
            return
        self._found.append(_certificate(config))
        self._found.append(listening.check_port(config.host, config.port))

    async def _engine(self) -> None:
        if "worker" not in self._roles:
            self._found.append(skipped("engine", "No worker is to run here, or may."))
            return
        try:
            settings = self._settings()
        except CaptionFlowError as exc:
            self._found.append(told("engine", "problem", exc, "Mend the settings."))
            return
        rounds = EngineRounds(
            settings,
            self._document.worker or WorkerConfig(),
            self._gpu_id,
            self._environ,
            imports=self._imports,
        )
        self._found += await rounds.make()

    def _settings(self) -> Broadcast | None:
        """Find what workers are to do: as configured here, else as the job has it."""
        config = self._config
        named = config.vllm.model or any(stage.model for stage in config.vllm.stages)
        if config.engine != "vllm" or named:
            return broadcast(config)
        return None if self._published is None else Broadcast.decode(self._published)


_NOT_FED = "Nothing is fed from here."


def _certificate(config: JobConfig) -> Finding:
    if config.tls is not None and not config.no_ssl:
        return listening.check_certificate(*map(Path, config.tls))
    if config.no_ssl or is_local(config.host):
        return skipped(listening.CERTIFICATE, "The proxy is to listen without TLS.")
    said = f"The proxy would listen on {config.host}, which others reach, without TLS."
    cure = (
        "Give cert and key (caption-flow generate_cert makes a pair), host: 127.0.0.1, or no_ssl "
        "where something else encrypts."
    )
    return problem(listening.CERTIFICATE, said, cure)


def _read_here(config: JobConfig) -> Source:
    """Open the data set so that it reads what workers would fetch."""
    return source_of(replace(config, dataset=replace(config.dataset, images="inline", fetch=None)))


async def _in_time(check: Callable[[], T]) -> T | None:
    """Make a check in a thread of its own; None where it takes for ever."""
    try:
        async with asyncio.timeout(SECONDS):
            return await aside(check)
    except TimeoutError:
        return None


def _no_answer(check: str) -> Finding:
    said = f"It was not done after {SECONDS:.0f} s."
    return problem(check, said, "See to the network, or to the disk on which that lies.")
