"""The way in: find the document of a command, lay variables and flags over it, check it all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from caption_flow.config.places import find
from caption_flow.config.schema import JobConfig, Kind, MonitorConfig, WorkerConfig
from caption_flow.config.values import Settings
from caption_flow.errors import ConfigError

C = TypeVar("C", bound=Settings)
Overrides: TypeAlias = Mapping[str, object]  # dotted path -> value; None: the flag was not given


class Loaded(Struct, Generic[C], frozen=True):
    """What a command runs with, where it came from, and what to tell the user."""

    config: C
    path: Path | None  # None: no document was found
    warnings: tuple[str, ...] = ()


LoadedJob: TypeAlias = Loaded[JobConfig]
LoadedWorker: TypeAlias = Loaded[WorkerConfig]
LoadedMonitor: TypeAlias = Loaded[MonitorConfig]


def load_job(
    component: str = "orchestrator",
    explicit: Path | None = None,
    overrides: Overrides | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedJob:
    """Read the settings of a command that serves the job."""
    return _load("job", JobConfig, find(component, explicit), overrides, environ)


def load_worker(
    explicit: Path | None = None,
    overrides: Overrides | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedWorker:
    """Read the settings of a worker."""
    return _load("worker", WorkerConfig, find("worker", explicit), overrides, environ)


def load_monitor(
    explicit: Path | None = None,
    overrides: Overrides | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedMonitor:
    """Read the settings of the monitor."""
    return _load("monitor", MonitorConfig, find("monitor", explicit), overrides, environ)


def dump(config: JobConfig) -> str:
    """Write the effective settings, secrets included, for a child process."""
    return msgspec.json.encode(config).decode()


def from_json(text: str | bytes) -> JobConfig:
    """Read back what `dump` wrote."""
    try:
        return msgspec.json.decode(text, type=JobConfig)
    except msgspec.DecodeError as exc:
        raise ConfigError(f"These are no settings written by caption-flow: {exc}") from exc


def read_dump(path: Path) -> JobConfig:
    """Read the file to which a parent process wrote its dump."""
    try:
        return from_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc


def _load(
    kind: Kind,
    cls: type[C],
    path: Path | None,
    overrides: Overrides | None,
    environ: Mapping[str, str] | None,
) -> Loaded[C]:
    # Reading YAML costs 15 ms of import, and a child process reads a dump instead.
    from caption_flow.config.assemble import assemble  # noqa: PLC0415

    variables = os.environ if environ is None else environ
    config, warnings = assemble(kind, cls, path, overrides or {}, variables)
    return Loaded(config=config, path=path, warnings=warnings)
