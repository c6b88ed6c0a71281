"""Command line: what a scan found, as one JSON document and as sentences."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from caption_flow.audit.tally import Findings, Mended
from caption_flow.codec import records

_NAMED = 5  # things of a kind that a sentence names


class Report(Struct, frozen=True):
    """One scan of a job."""

    job: str
    folder: Path
    findings: Findings
    mended: Mended | None  # None: it was not asked for
    redis_left_out: str = ""  # why
    source_left_out: str = ""  # why, where the settings name one


def as_json(report: Report) -> str:
    """Write everything as one document."""
    found = report.findings
    document: dict[str, Any] = {
        "job": report.job,
        "folder": str(report.folder),
        "balanced": found.balanced,
        "verdict": verdict(found),
        "redis": {"heard": found.queue, "left_out": report.redis_left_out},
        "source": {"heard": found.source, "left_out": report.source_left_out},
        "plan_done": found.plan_done,
        "totals": found.totals.figures(),
        "shards": [{"shard": shard} | tally.figures() for shard, tally in found.shards.items()],
        "chunks": [
            {"shard": shard, "chunk": chunk} | tally.figures()
            for shard, chunks in found.chunks.items()
            for chunk, tally in chunks.items()
        ],
        "parts": found.parts,
        "books": found.differences,
        "missing": found.missing,
        "doubled": found.doubled,
        "mended": report.mended,
    }
    return records.encode(document).decode()


def verdict(found: Findings) -> str:
    """Say in a line whether the books balance."""
    all_ = found.totals
    if found.balanced:
        return (
            f"Balanced: {all_.planned:,} planned = {all_.waiting:,} waiting + "
            f"{all_.in_flight:,} in flight + {all_.captioned:,} captioned + {all_.dead:,} dead."
        )
    parts = found.parts
    wrong = (
        (all_.missing, "missing"),
        (all_.doubled, "doubled"),
        (len(parts.half_published), "half-published"),
        (len(parts.gone), "gone from the folder"),
        (len(parts.unreadable), "unreadable"),
        (len(found.differences), "wrong in the books"),
    )
    return f"Not balanced: {', '.join(f'{count:,} {what}' for count, what in wrong if count)}."


def sentences(report: Report) -> Iterator[str]:
    """Say what the figures do not, and what to do about it."""
    if report.redis_left_out:
        yield f"Redis was left out: {report.redis_left_out}"
    if report.source_left_out:
        yield f"The data set was left out: {report.source_left_out}"
    yield from _of_samples(report.findings)
    yield from _of_parts(report)
    for one in report.findings.differences:
        yield f"Redis counts {one.counted:,} {one.what}, its streams hold {one.found:,}."
    if report.mended is not None:
        yield from _of_mending(report.mended)


def _of_samples(found: Findings) -> Iterator[str]:
    all_ = found.totals
    if found.missing:
        yield f"Missing: {_some(found.missing, all_.missing)}. {_advice(found)}"
    if found.unnamed:
        yield f"Which {found.unnamed:,} are missing only the data set tells: give its PATH."
    for double in found.doubled[:_NAMED]:
        yield f"Doubled: {double.id} in {' and '.join(double.parts)}."
    if all_.doubled > _NAMED:
        yield f"Doubled: {all_.doubled - _NAMED:,} more. Which row is to go is yours to say."
    if all_.abandoned:
        yield f"{all_.abandoned:,} are under leases that ran out: any role that runs takes them."


def _advice(found: Findings) -> str:
    if not found.queue:
        return "What Redis may hold is among them; feeding again captions the rest."
    if found.plan_done:
        return "New in the data set or lost: feeding again finds the new, --fix both."
    return "--fix feeds them again."


def _of_parts(report: Report) -> Iterator[str]:
    parts = report.findings.parts
    writing = f"; {len(parts.writing):,} being written" if parts.writing else ""
    yield f"In {report.folder}: {_count(parts.published, 'part')}, {parts.rows:,} rows{writing}."
    for names, said in (
        (parts.half_published, "Half-published, until a sink or --fix has asked Redis"),
        (parts.abandoned, "Left by a sink that died, to be deleted by another or by --fix"),
        (parts.forgotten if report.findings.queue else (), "Not recorded in Redis"),
        (tuple(parts.gone), "Recorded in Redis, but gone from the folder"),
        (parts.unreadable, "Cannot be read"),
    ):
        if names:
            yield f"{said}: {_some(names, len(names))}."


def _of_mending(mended: Mended) -> Iterator[str]:
    chunks = _count(mended.chunks, "chunk")
    done = [
        f"{_count(count, thing)} {what}"
        for count, thing, what in (
            (mended.published, "part", "published"),
            (mended.deleted, "part", "without a commit deleted"),
            (mended.recorded, "part", "recorded again"),
            (len(mended.parts_forgotten), "part", "that is gone taken off the books"),
            (mended.disowned, "lease", "on a deleted entry ended"),
            (mended.reissued, "sample", f"fed again in {chunks}"),
        )
        if count
    ]
    done += ["the books set right"] if mended.books_changed else []
    yield f"Mended: {', '.join(done) or 'nothing'}."
    if mended.reissued:
        yield "A running feeder feeds them; where none runs, start the one of the job again."
    yield from mended.left


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _some(names: Sequence[str], count: int) -> str:
    named = ", ".join(names[:_NAMED])
    return f"{named} and {count - _NAMED:,} more" if count > _NAMED else named
