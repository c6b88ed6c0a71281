"""Command line: the settings that the doctor looks at: a job's document, or that of one worker."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.config import JobConfig, WorkerConfig, load_job, load_worker
from caption_flow.doctor.finding import Finding, ok, problem, told
from caption_flow.errors import ConfigError

CHECK = "document"
# What both kinds of document say, of the way to the job.
_WAY = ("redis", "job", "server", "token", "verify_ssl", "ca_cert")


class Document(Struct, frozen=True):
    """The settings, and what there is to say of them."""

    config: JobConfig
    findings: tuple[Finding, ...]
    worker: WorkerConfig | None = None  # where it is a worker's own
    read: bool = True  # False: it has mistakes, and the defaults stand in for it

    @property
    def roles(self) -> frozenset[str]:
        """What a host with these settings is to do."""
        config = self.config
        fed = {"feed"} if config.dataset.dataset_path else set()
        if config.server or self.worker is not None:
            return frozenset({"worker", *fed})
        lets_in = {"proxy"} if config.auth.grants() or config.tls else set()
        return frozenset({"feed", "worker", "sink", *lets_in})


def read_document(explicit: Path | None, made: dict[str, object]) -> Document:
    """Read the settings; what is wrong with them is a finding."""
    try:
        loaded = load_job("orchestrator", explicit, made)
    except ConfigError as exc:
        return _of_worker(explicit, made) or _mistaken(exc)
    if loaded.path is None and (own := _of_worker(None, made)):
        return own
    return Document(loaded.config, _findings(loaded.path, loaded.warnings))


def _of_worker(explicit: Path | None, made: dict[str, object]) -> Document | None:
    """Read the document of a worker; None where it is none, or there is none."""
    way = {name: made.get(name) for name in _WAY}
    try:
        loaded = load_worker(explicit, way)
    except ConfigError:
        return None
    if loaded.path is None:
        return None
    given = {name: value for name in _WAY if (value := getattr(loaded.config, name)) is not None}
    return Document(
        replace(JobConfig(), **given), _findings(loaded.path, loaded.warnings), loaded.config
    )


def _findings(path: Path | None, warnings: tuple[str, ...]) -> tuple[Finding, ...]:
    if warnings:
        return tuple(told(CHECK, "warning", one, "Mend the document.") for one in warnings)
    return (ok(CHECK, f"{path} can be read." if path else "There is none; the defaults stand."),)


def _mistaken(error: ConfigError) -> Document:
    cure = "Mend it; docs/configuration.md has every key."
    found = tuple(problem(CHECK, line, cure) for line in str(error).splitlines())
    return Document(JobConfig(), found, read=False)
