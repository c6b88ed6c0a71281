"""Command line: the options that commands share, and the overrides they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from caption_flow import logs
from caption_flow.cli import saying
from caption_flow.config import (
    JobConfig,
    LoadedJob,
    WorkerConfig,
    load_job,
    load_worker,
    read_dump,
)
from caption_flow.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

# A parent process hands its effective settings down in a file; see supervisor.
DUMP_VARIABLE = "CAPTION_FLOW_INTERNAL_JOB"
LOG_FORMAT = "CAPTION_FLOW_LOG_FORMAT"
_LOGS = f"{__name__}.logs"  # what the options say of them, in the context of a command

_DOCUMENT = click.option(
    "--config",
    "explicit",
    type=click.Path(path_type=Path),
    help="YAML document; without it the usual places are searched.",
)
_CHANGES = click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override any setting, as in vllm.sampling.temperature=0.2.",
)


def logged(function: F) -> F:
    """Add the options for what a process says."""
    for option in (
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default="info",
            show_default=True,
            expose_value=False,
            callback=_set_up_logs,
            is_eager=True,
            help="Least important lines to print.",
        ),
        click.option(
            "--log-format",
            type=click.Choice(["plain", "json"]),
            envvar=LOG_FORMAT,
            expose_value=False,
            callback=_set_up_logs,
            is_eager=True,
            help="How lines are printed: for people, or as JSON objects.",
        ),
        click.option(
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_set_up_logs,
            is_eager=True,
            help="Show where an error comes from.",
        ),
    ):
        function = option(function)
    return function


def _set_up_logs(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Set up what is said, as far as it is known: the options come one by one."""
    if value is not None:
        said = context.meta.setdefault(_LOGS, {})
        said[parameter.name] = value
        logs.set_up(**said)
    return value


def _log_as_configured(config: JobConfig | WorkerConfig) -> None:
    """Follow a document where no flag or variable says how lines are printed."""
    said = click.get_current_context().meta.get(_LOGS, {})
    if "log_format" not in said:
        logs.set_up(**said, log_format=config.log_format)


def telling_option(function: F) -> F:
    """Add the option of roles that other programs start."""
    return click.option(
        "--progress",
        type=click.Choice(["json"]),
        help="Print a JSON object a second; the rest goes to standard error.",
    )(function)


def located(function: F) -> F:
    """Add the options that say where a job is."""
    for option in reversed(
        (
            _DOCUMENT,
            click.option("--redis", metavar="URL", help="redis://, rediss:// or unix:// URL."),
            click.option("--job", metavar="NAME", help="Name of the job."),
        )
    ):
        function = option(function)
    return logged(function)


def configured(function: F) -> F:
    """Add the options every configured command has."""
    return located(_CHANGES(function))


def documented(function: F) -> F:
    """Add those of a command that is configured, and has no job."""
    return logged(_DOCUMENT(_CHANGES(function)))


def data_options(function: F) -> F:
    """Add the options of commands that read the data set or write its captions."""
    function = click.option(
        "--data-dir", type=click.Path(path_type=Path), help="Folder for captions."
    )(function)
    return configured(function)


def networks(function: F) -> F:
    """Add the option of commands that fetch images."""
    return click.option(
        "--allow-network",
        "allow_networks",
        metavar="NETWORK",
        multiple=True,
        help="Fetch from here too, though it is not public: 10.1.0.0/16 or an address.",
    )(function)


def allowances(function: F) -> F:
    """Add the options for what a worker does for a job that it reaches through a proxy."""
    for option in reversed(
        (
            click.option(
                "--allow-model",
                "allow_models",
                metavar="NAME",
                multiple=True,
                help="Load this model for a job of others, and no other: ORG/NAME or ORG/*.",
            ),
            click.option(
                "--allow-pickle",
                is_flag=True,
                default=None,
                help="Load weights for it that are no safetensors, and may run code.",
            ),
            click.option(
                "--allow-endpoint",
                "allow_endpoints",
                metavar="URL",
                multiple=True,
                help="Send its images to servers below it; after a blank, the variable of the key.",
            ),
        )
    ):
        function = option(function)
    return function


def overrides(changes: tuple[str, ...], **flags: object) -> dict[str, object]:
    """Make overrides of flags, given as dotted paths with two underscores, and of --set."""
    made: dict[str, object] = {path.replace("__", "."): value for path, value in flags.items()}
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or not path:
            raise ConfigError(f'--set {change}: write KEY=VALUE, as in "chunk_size=500".')
        made[path] = value
    return made


def job_config(
    component: str, explicit: Path | None, made: dict[str, object], environ: dict[str, str]
) -> JobConfig:
    """Read the settings of a command that serves the job, and pass on their warnings."""
    return _job(component, explicit, made, environ).config


def publishing_config(
    component: str, explicit: Path | None, made: dict[str, object], environ: dict[str, str]
) -> JobConfig:
    """Read the settings of a command that publishes them: each stage has what its engine needs."""
    loaded = _job(component, explicit, made, environ)
    try:
        loaded.config.stages()
    except ConfigError as exc:
        place = loaded.path or "settings"
        raise ConfigError("\n".join(f"{place}: {line}" for line in str(exc).splitlines())) from exc
    return loaded.config


def _job(
    component: str, explicit: Path | None, made: dict[str, object], environ: dict[str, str]
) -> LoadedJob:
    if dump := environ.get(DUMP_VARIABLE):
        return LoadedJob(config=read_dump(Path(dump)), path=None)
    loaded = load_job(component, explicit, made)
    _log_as_configured(loaded.config)
    warn(loaded.warnings)
    return loaded


def worker_config(explicit: Path | None, made: dict[str, object]) -> WorkerConfig:
    """Read the settings of a worker, and pass on their warnings."""
    loaded = load_worker(explicit, made)
    _log_as_configured(loaded.config)
    warn(loaded.warnings)
    return loaded.config


def warn(warnings: tuple[str, ...]) -> None:
    """Pass warnings of a document on."""
    for warning in warnings:
        saying.warn(warning)
