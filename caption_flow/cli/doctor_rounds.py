"""Command line: which checks the doctor makes, by what the settings say and what others answer."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from caption_flow.audit.seeing import See
from caption_flow.cli.doctor_check import guarded, in_time
from caption_flow.cli.doctor_document import Document
from caption_flow.cli.doctor_engine import EngineRounds
from caption_flow.cli.doctor_way import Met, meet
from caption_flow.cli.listening import is_local
from caption_flow.cli.naming import known_job
from caption_flow.cli.running import source_of
from caption_flow.cli.selecting import selection_of
from caption_flow.cli.wording import check_prompts
from caption_flow.cli.workplace import narrowed
from caption_flow.config import JobConfig, WorkerConfig
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.dataset.source import Source
from caption_flow.doctor import clocks, dataset, listening, machine, proxy, storage
from caption_flow.doctor.finding import Finding, ok, problem, skipped, told
from caption_flow.doctor.listening import CERTIFICATE, METRICS, PORT
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Role
from caption_flow.lifecycle import Drain

ROLES = ("feed", "worker", "sink", "proxy")
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
        self._met = Met(())
        self._samples = 0  # of the data set, at least
        self.stopped = False  # before all were made

    async def make(self, drain: Drain, see: See) -> list[Finding]:
        """Make all checks, one after another; stop early when asked to."""
        checks: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("this machine", self._machine),
            ("the way to the job", self._way),
            ("the data set", partial(self._dataset, drain)),
            ("the disk", self._storage),
            ("what listens here", self._listening),
            ("the engine", self._engine),
        ]
        if not self._document.read:
            checks = checks[:1]
        for number, (name, check) in enumerate(checks):
            see(f"looking at {name}", number, len(checks))
            await drain.cut(self._make(name, check))
            if drain.asked:
                self.stopped = True
                break
        return self._found

    async def _make(self, name: str, check: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await guarded(name, check(), self._found)
        except CaptionFlowError as exc:
            self._found.append(told(name, "problem", exc, "Mend that, and call the doctor again."))

    async def _machine(self) -> None:
        config = self._config
        loads = bool({"feed", "worker"} & self._roles)
        needed = config.dataset.download.at_once if loads else 0
        held = config.proxy.most_connections if "proxy" in self._roles else 0
        self._found += [machine.python(), machine.open_files(needed, held)]

    async def _way(self) -> None:
        self._met = met = await meet(self._config)
        self._found += met.findings
        if met.granted is not None:
            self._found += self._granted(met.granted)
        if met.ahead:
            self._found += clocks.check_clocks(met.ahead)
        else:
            why = "Nobody was reached whose clock could be compared."
            self._found.append(skipped(clocks.CHECK, why))

    def _granted(self, role: Role) -> list[Finding]:
        """Leave to others what the token is not for; a problem where it was asked for."""
        lacking = sorted(self._asked_for - {_GRANTED.get(role, "")})
        self._roles = self._roles & {_GRANTED.get(role, "")}
        if not lacking:
            return []
        said = f"The token is for the role {role}, and not for what is asked: {', '.join(lacking)}."
        return [problem(proxy.CHECK, said, "Ask the operator of the job for a token of that role.")]

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
        examined = await in_time(dataset.CHECK, check, self._found)
        if examined is None:
            return
        self._found += examined.findings
        self._samples = examined.samples
        if all(one.state == "ok" for one in examined.findings):
            await self._prompts(drain)

    async def _prompts(self, drain: Drain) -> None:
        needs = self._config.needs()
        try:
            source = await in_time("prompts", lambda: source_of(self._config), self._found)
            if source is None:
                return
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
        self._found += await in_time(storage.CHECK, check, self._found) or []

    def _rows_to_come(self) -> int:
        if self._met.snapshot is None:
            return self._samples
        counts = self._met.snapshot.counts
        return max(self._samples, counts.planned) - counts.captioned

    async def _listening(self) -> None:
        config, found = self._config, self._found
        if "proxy" in self._roles:
            found += await in_time(CERTIFICATE, lambda: [_certificate(config)], found) or []
            await self._port(PORT, config.host, config.port, "a proxy")
        else:
            found += [skipped(check, "No proxy is to run here.") for check in (CERTIFICATE, PORT)]
        told = self._document.worker or config
        if told.metrics_port:
            await self._port(METRICS, told.metrics_host, told.metrics_port, "a role")
        else:
            found.append(skipped(METRICS, "No port is set for them."))

    async def _port(self, check: str, host: str, port: int, who: str) -> None:
        asked = partial(listening.check_port, host, port, check=check, who=who)
        found = await in_time(check, asked, self._found)
        self._found += [found] if found else []

    async def _engine(self) -> None:
        if "worker" not in self._roles:
            self._found.append(skipped("engine", "No worker is to run here, or may."))
            return
        try:
            own = replace(self._document.worker or WorkerConfig(), server=self._config.server)
            rounds = EngineRounds(
                self._settings(),
                narrowed(own, self._met.stages),
                self._gpu_id,
                self._environ,
                imports=self._imports,
            )
        except CaptionFlowError as exc:
            self._found.append(told("engine", "problem", exc, "Mend the settings."))
            return
        await rounds.make(self._found)

    def _settings(self) -> Broadcast | None:
        """Find what workers are to do: as configured here, else as the job has it.

        A job that is reached through a proxy is somebody else's to configure.
        """
        config = self._config
        named = config.vllm.model or any(stage.model for stage in config.vllm.stages)
        if not config.server and (config.engine != "vllm" or named):
            return broadcast(config)
        published = self._met.settings
        return None if published is None else Broadcast.decode(published)


_NOT_FED = "Nothing is fed from here."


def _certificate(config: JobConfig) -> Finding:
    if config.tls is not None and not config.no_ssl:
        return listening.check_certificate(*map(Path, config.tls))
    if config.no_ssl or is_local(config.host):
        return skipped(CERTIFICATE, "The proxy is to listen without TLS.")
    said = f"The proxy would listen on {config.host}, which others reach, without TLS."
    cure = (
        "Give cert and key (caption-flow generate_cert makes a pair), host: 127.0.0.1, or no_ssl "
        "where something else encrypts."
    )
    return problem(CERTIFICATE, said, cure)


def _read_here(config: JobConfig) -> Source:
    """Open the data set so that it reads what workers would fetch."""
    return source_of(replace(config, dataset=replace(config.dataset, images="inline", fetch=None)))
