"""Traces: what OpenTelemetry makes of them. Its own variables say where they go and how many."""

import hashlib
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

from caption_flow import __version__
from caption_flow.traces import Mark, Traced

logger = logging.getLogger(__name__)

EXPORT_SECONDS = 3.0  # for a batch; a collector that is away holds up the end of a process so long
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_PREFIX = "caption_flow."
_NOWHERE = Context()  # with no span around


class _Ids(IdGenerator):
    """Gives the ids of a mark where one is set, and random ones else."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.mark: ContextVar[Mark | None] = ContextVar("mark", default=None)

    def generate_trace_id(self) -> int:
        """Give the id of a trace."""
        found = self.mark.get()
        return found.trace if found else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Give the id of a span."""
        found = self.mark.get()
        return found.first if found else self._random.generate_span_id()


class Tracing:
    """Tells of the samples of one job."""

    def __init__(self, provider: TracerProvider, ids: _Ids, job: str) -> None:
        self._ids = ids
        self._job = job
        self._sampler = provider.sampler
        self._tracer = provider.get_tracer("caption_flow", __version__)

    def mark(self, sample: Traced) -> Mark | None:
        """Name the trace of a sample; None where the sampler leaves it out."""
        found = self._named(sample)
        told = self._sampler.should_sample(_NOWHERE, found.trace, "offer")
        return found if told.decision is Decision.RECORD_AND_SAMPLE else None

    def span(self, name: str, mark: Mark, facts: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Tell of something while it lasts; within another such, below it."""
        return self._tracer.start_as_current_span(
            name, self._around(mark), attributes=_attributes(mark, facts)
        )

    def first(self, name: str, sample: Traced, begun: int, facts: Mapping[str, str]) -> None:
        """Tell of what begins a trace."""
        found = self._named(sample)
        token = self._ids.mark.set(found)
        try:
            span = self._tracer.start_span(
                name, _NOWHERE, attributes=_attributes(found, facts), start_time=begun
            )
        finally:
            self._ids.mark.reset(token)
        span.end()

    def note(self, name: str, mark: Mark, begun: int, facts: Mapping[str, str]) -> None:
        """Tell of what was done."""
        self._tracer.start_span(
            name, _below(mark), attributes=_attributes(mark, facts), start_time=begun
        ).end()

    def _named(self, sample: Traced) -> Mark:
        # A sample that is fed again is in another chunk, and so in a trace of its own.
        named = "\0".join((self._job, sample.chunk, sample.id))
        digest = hashlib.sha256(named.encode(errors="surrogateescape")).digest()
        ids = int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1
        return Mark(*ids, sample.id, sample.chunk)

    @staticmethod
    def _around(mark: Mark) -> Context | None:
        """Find what a span stands in: None for where we are, if that is of the same sample."""
        here = trace.get_current_span().get_span_context()
        return None if here.trace_id == mark.trace else _below(mark)


def tracing(*, role: str, job: str, member: str) -> Tracing:
    """Begin to send spans, in batches and from a thread."""
    ids = _Ids()
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or "caption-flow",
                "service.version": __version__,
                "service.instance.id": member,
                f"{_PREFIX}role": role,
                f"{_PREFIX}job": job,
            }
        ),
        id_generator=ids,
    )
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    return Tracing(provider, ids, job)


def _exporter() -> SpanExporter:
    wanted = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if wanted == "console":  # standard output is for what commands print
        return ConsoleSpanExporter(out=sys.stderr)
    if wanted != "otlp":
        logger.warning(
            'OTEL_TRACES_EXPORTER is "%s"; sending traces by OTLP over HTTP, as "otlp" says', wanted
        )
    own = any(os.environ.get(name) for name in _TIMEOUTS)
    return OTLPSpanExporter(timeout=None if own else EXPORT_SECONDS)


def _below(mark: Mark) -> Context:
    """Stand below the span that begins the trace, whichever process that is in."""
    first = SpanContext(mark.trace, mark.first, True, TraceFlags(TraceFlags.SAMPLED))  # noqa: FBT003
    return trace.set_span_in_context(NonRecordingSpan(first), _NOWHERE)


def _attributes(mark: Mark, facts: Mapping[str, str]) -> dict[str, str]:
    told = {"sample": mark.sample, "chunk": mark.chunk, **facts}
    return {f"{_PREFIX}{name}": _sayable(value) for name, value in told.items()}


def _sayable(text: str) -> str:
    """Write a name that is not UTF-8 so that it can be sent."""
    return text.encode(errors="backslashreplace").decode()
