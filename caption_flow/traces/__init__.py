"""Traces: one of each sample, from its offer to its part, where OpenTelemetry is asked for.

Nothing travels with a sample for that: its trace, and the span that begins it, have ids that each
process makes of the ids of the sample. So all tell into one trace, whatever lies between them, and
all agree which samples are traced. Where nobody asks, a call costs a comparison.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from caption_flow.traces.otel import Tracing

logger = logging.getLogger(__name__)

_ASKING = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)

_tracing: "Tracing | None" = None


class Mark(Struct, frozen=True):
    """A sample that is traced."""

    trace: int
    first: int  # id of the span that begins the trace
    sample: str
    chunk: str


class Traced(Protocol):
    """What a trace is of: a sample."""

    @property
    def id(self) -> str:
        """The id."""
        ...

    @property
    def chunk(self) -> str:
        """The id of its chunk."""
        ...


def begin(role: str, job: str, member: str) -> None:
    """Trace from here on, where the variables of OpenTelemetry ask for that."""
    global _tracing  # noqa: PLW0603 - one for the process, as loggers are
    if not _is_asked_for(os.environ):
        return
    try:
        from caption_flow.traces.otel import tracing  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as exc:
        logger.warning(
            "Traces are asked for by variables (OTEL_…), and %s is not installed: "
            "pip install 'caption-flow[traces]'",
            exc.name,
        )
        return
    _tracing = tracing(role=role, job=job, member=member)


def _is_asked_for(environ: Mapping[str, str]) -> bool:
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    none = environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return any(environ.get(name) for name in _ASKING) and not (off or none)


def now() -> int:
    """Tell the time as spans have it."""
    return time.time_ns()


def mark(sample: Traced) -> Mark | None:
    """Keep what it takes to tell of a sample later; None where it is not traced."""
    return None if _tracing is None else _tracing.mark(sample)


def span(name: str, sample: Traced, **facts: str) -> AbstractContextManager[object]:
    """Tell of something that is done with a sample while the context lasts, and how it fails."""
    if _tracing is None or (found := _tracing.mark(sample)) is None:
        return nullcontext()
    return _tracing.span(name, found, facts)


def first(name: str, sample: Traced, begun: int, **facts: str) -> None:
    """Tell of what begins a trace: it was done from then, see `now`, till now."""
    if _tracing is not None:
        _tracing.first(name, sample, begun, facts)


def note(name: str, marks: Iterable[Mark | None], begun: int, **facts: str) -> None:
    """Tell of what was done with samples from then, see `now`, till now."""
    if _tracing is not None:
        for one in marks:
            if one is not None:
                _tracing.note(name, one, begun, facts)
