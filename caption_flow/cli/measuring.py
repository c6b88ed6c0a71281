"""Command line: where a process tells its metrics, and whether it lives and works."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from caption_flow.config import JobConfig, WorkerConfig
from caption_flow.metrics.vitals import Vitals

logger = logging.getLogger(__name__)

_OPTIONS = (
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        help="Tell metrics and health here, at /metrics, /healthz and /readyz; 0: any free port.",
    ),
    click.option(
        "--metrics-host", help="Address for that, of this host alone where nothing is said."
    ),
)


def measured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for metrics; the command gets what they override as `measures`."""

    @wraps(function)
    def with_measures(metrics_port: int | None, metrics_host: str | None, **rest: Any) -> Any:
        measures = {"metrics_port": metrics_port, "metrics_host": metrics_host}
        return function(measures=measures, **rest)

    made: Callable[..., Any] = with_measures
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


@contextmanager
def measuring(role: str, config: JobConfig | WorkerConfig) -> Iterator[Vitals]:
    """Keep the vitals of a process; shown for as long as this lasts, where that is wanted."""
    vitals = Vitals(role)
    if config.metrics_port is None:
        yield vitals
        return
    from caption_flow.metrics.pages import health, metrics  # noqa: PLC0415 - slow to import
    from caption_flow.web.apart import apart  # noqa: PLC0415 - likewise
    from caption_flow.web.site import Site  # noqa: PLC0415 - likewise

    site = Site({**health(vitals), **metrics(vitals, contributors=role == "proxy")})
    with apart(site, config.metrics_host, config.metrics_port) as port:
        host = f"[{config.metrics_host}]" if ":" in config.metrics_host else config.metrics_host
        logger.info("Metrics are at http://%s:%d/metrics", host, port)
        yield vitals
