"""Metrics: one process: who it is, whether it works, and what its role counts."""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.metrics_core import Metric

from caption_flow import __version__
from caption_flow.metrics.families import counter, gauge, info, one_of
from caption_flow.metrics.job import STATES, state_of
from caption_flow.metrics.vitals import Vitals


class Figure(Struct, frozen=True):
    """How a figure of a role is told."""

    name: str  # without the role; of a counter without `_total`
    help: str
    counts: bool = False  # only ever goes up while the process lives


def _count(name: str, help_: str) -> Figure:
    return Figure(name, help_, counts=True)


# role -> what its processes call a figure -> how it is told. Reasons of failures are told of the
# job, and not here: `failed:REASON` of a feeder.
FIGURES: Mapping[str, Mapping[str, Figure]] = {
    "feed": {
        "shards": _count("shards", "Shards planned."),
        "skipped": _count("skipped_samples", "Samples passed over, since they are known."),
        "samples": _count("samples", "Samples put into the queue."),
        "bytes": _count("image_bytes", "Bytes of images put into the queue."),
        "failed": _count("failed_samples", "Samples given up."),
        "budget_bytes": Figure("budget_bytes", "Bytes in flight, beyond which it waits."),
        "budget_samples": Figure("budget_samples", "Samples in flight, beyond which it waits."),
        "full_lately": Figure("full_ratio", "Share of the last seconds in which it had no room."),
    },
    "worker": {
        "samples": _count("samples", "Samples that had their first captions here."),
        "captions": _count("visits", "Visits of samples that gave captions."),
        "failed": _count("failed_samples", "Samples given up."),
        "declined": _count("declined_samples", "Samples handed back as not for this worker."),
        "images": _count("images", "Images fetched, from Redis or from where they lie."),
        "engine_deaths": _count("engine_deaths", "Times that an engine died or hung."),
        "in_hand": Figure("in_hand_samples", "Samples under a lease of this worker."),
        "coming": Figure("coming_samples", "Of these, samples whose image is on its way."),
        "slots": Figure("slots", "Requests that its engines take at once."),
        "running": Figure("running_requests", "Requests that are in its engines."),
        "claim_ahead": Figure("claim_ahead_samples", "Samples it claims ahead of its engines."),
        "in_flight": Figure("in_flight_requests", "Requests it has in its engines, at most."),
        "complete_batch": Figure("complete_batch_samples", "Samples it settles at once, at most."),
        "preparers": Figure("preparers", "Processes that prepare images for its engines."),
        "free_share": Figure("free_ratio", "Share of its slots that was free, over time."),
        "idle_share": Figure(
            "idle_ratio", "Share of its slots that were free while samples waited."
        ),
        "free_lately": Figure("free_lately_ratio", "The free share of the last seconds."),
        "idle_lately": Figure("idle_lately_ratio", "The idle share of the last seconds."),
        "ceiling": Figure(
            "ceiling_captions_per_second", "What bench measured of its engine by itself."
        ),
        "gpu_memory_used": Figure("gpu_memory_used_bytes", "Memory of its GPU that is taken."),
        "gpu_memory_total": Figure("gpu_memory_bytes", "Memory of its GPU."),
        "gpu_use": Figure("gpu_use_ratio", "Share of the time in which its GPU did something."),
    },
    "sink": {
        "rows": _count("rows", "Rows in parts that it has published."),
        "open_rows": Figure("open_rows", "Rows of the part that it writes."),
        "last_part_rows": Figure("last_part_rows", "Rows of the last part that it published."),
        "last_part_at": Figure("last_part_timestamp_seconds", "When it published that part."),
    },
    "proxy": {
        "connections": Figure("connections", "Connections that are open."),
        "samples": _count("sent_samples", "Samples sent."),
        "bytes": _count("sent_image_bytes", "Bytes of images sent."),
        "captions": _count("captioned_samples", "Samples taken with captions."),
        "failed": _count("failed_samples", "Samples given up."),
        "fed": _count("fed_samples", "Samples offered by feeders elsewhere."),
        "breaches": _count("breaches", "Connections closed on who broke the rules."),
    },
}


def families(vitals: Vitals) -> Iterator[Metric]:
    """Tell how a process stands."""
    word = vitals.word
    who = {"role": vitals.role, "member": word.name if word else "", "version": __version__}
    yield info("process", "What this process is.", who)
    if vitals.job:
        yield info("job", "The job that this process works for.", {"name": vitals.job})
    yield gauge("ready", "1 while it works, as /readyz says.", not vitals.trouble)
    yield gauge("queue_up", "1 while the queue answers this process.", vitals.answered)
    yield one_of("process_state", "1 for what it does.", "state", STATES, state_of(vitals.state))
    if word is not None:
        yield from _figures(word.role, word.figures)
    yield from PROCESS_COLLECTOR.collect()


def _figures(role: str, figures: Mapping[str, float]) -> Iterator[Metric]:
    for name, told in FIGURES.get(role, {}).items():
        if name in figures:
            make = counter if told.counts else gauge
            yield make(f"{role}_{told.name}", told.help, figures[name])
