"""Command line: streams, shards, processes and dead letters of a job as tables, for `status` and
the monitor.
"""

from collections.abc import Iterator, Mapping, Sequence

from caption_flow.cli.grid import Cell, Column, Grid, grid
from caption_flow.config.sizes import spelt
from caption_flow.monitor import wording
from caption_flow.monitor.living import is_silent
from caption_flow.monitor.report import stages
from caption_flow.monitor.workers import Listed
from caption_flow.queue.ports import Member, Shard, Snapshot

_STATES = {"silent": "red", "starting": "yellow", "paused": "yellow", "draining": "yellow"}

_WHEN = "_at"  # how names of figures end that are times
_TOLD_ELSEWHERE = frozenset({"version", "last_error", "last_error_at"})

_STREAMS = (
    Column("stream", least=10, usual=16),
    Column("waiting", right=True, usual=10),
    Column("held", right=True, usual=8),
    Column("oldest", right=True, rank=1, usual=7),
    Column("passed", right=True, rank=2, usual=10),
)
_SHARDS = (
    Column("shard", least=12, usual=16),
    Column("settled", right=True, usual=7),
    Column("captioned", right=True, rank=1, usual=9),
    Column("planned", right=True, rank=2, usual=8),
    Column("dead", right=True, rank=3, usual=5),
)
_WORKERS = (
    Column("worker", least=12, usual=22),
    Column("state", rank=1, usual=8),
    Column("running", right=True, rank=2, usual=9),
    Column("rate", right=True, usual=8),
    Column("free", right=True, rank=3, usual=4),
    Column("seen", right=True, rank=4, usual=5),
    Column("captions", right=True, rank=7, usual=9),
    Column("failed", right=True, rank=8, usual=6),
    Column("host", rank=9, least=8),
    Column("GPU", rank=6, least=12),
    Column("use", right=True, rank=10),
    Column("memory", right=True, rank=11),
    Column("model", rank=7, least=12),
    Column("ahead", right=True, rank=12),
    Column("in flight", right=True, rank=13),
    Column("settles", right=True, rank=14),
    Column("preparers", right=True, rank=15),
    Column("last trouble", rank=5, least=16),
)
# What a worker has chosen to do at once, in the order of its columns.
_CHOSEN = ("claim_ahead", "in_flight", "complete_batch", "preparers")
_PROCESSES = (
    Column("role", usual=5),
    Column("name", least=12, usual=20),
    Column("state", rank=1, usual=8),
    Column("seen", right=True, rank=3, usual=5),
    Column("host", rank=4, least=8),
    Column("figures", rank=2, least=16),
)
_REASONS = (Column("reason", least=8, usual=16), Column("samples", right=True, usual=10))


def streams(snapshot: Snapshot, width: int) -> Grid:
    """Show what waits in each stream, and since when."""
    passed = {told["stage"]: told["passed"] for told in stages(snapshot)}
    rows = [
        (
            one.name,
            f"{one.waiting:,}",
            f"{one.held:,}",
            wording.short(snapshot.at - one.oldest) if one.oldest is not None else "",
            f"{passed[one.stage]:,}" if one.stage in passed else "",
        )
        for one in snapshot.streams
    ]
    return grid(_STREAMS, rows, width)


def shards(told: Sequence[Shard], width: int) -> Grid:
    """Show how far shards are."""
    rows = [
        (
            one.name,
            wording.share((one.captioned + one.dead) / one.planned if one.planned else None),
            f"{one.captioned:,}",
            f"{one.planned:,}",
            f"{one.dead:,}" if one.dead else "",
        )
        for one in told
    ]
    return grid(_SHARDS, rows, width)


def workers(listed: Sequence[Listed], width: int, *, chosen: int | None = None) -> Grid:
    """Show what each worker does."""
    return grid(_WORKERS, [_worker(one) for one in listed], width, chosen=chosen)


def processes(members: Sequence[Member], now: float, width: int) -> Grid:
    """Show processes of any role."""
    return grid(_PROCESSES, [_process(member, now) for member in members], width)


def reasons(told: Mapping[str, int], width: int) -> Grid:
    """Count dead letters by reason."""
    return grid(_REASONS, [(reason, f"{count:,}") for reason, count in told.items()], width)


def figures(member: Member) -> Iterator[str]:
    """Spell out what a process counts."""
    for name, value in member.figures.items():
        if name.partition(":")[0].endswith(_WHEN):
            yield f"{name} {wording.clock(value)}"
        else:
            yield f"{name} {value:,.0f}" if value == int(value) else f"{name} {value:,.2f}"


def facts(member: Member) -> Iterator[str]:
    """Spell out what else there is to know of a process, but for what went wrong last."""
    return (
        f"{name} {value}"
        for name, value in member.facts.items()
        if value and name not in _TOLD_ELSEWHERE
    )


def last_error(one: Listed) -> str:
    """Say what went wrong last with a worker, and when; "" where nothing is known."""
    at, error = one.fact("last_error_at"), one.fact("last_error")
    return f"{wording.clock(float(at))} {error}" if error and at.isdecimal() else error


def _worker(one: Listed) -> tuple[Cell, ...]:
    running, slots = one.now("running"), one.now("slots")
    done, failed = one.figure("captions"), one.figure("failed")
    return (
        one.member.name,
        (one.state, _STATES.get(one.state, "yellow" if one.detail else "")),
        f"{running:.0f}/{slots:.0f}" if running is not None and slots else wording.UNKNOWN,
        wording.rate(one.rate) + (f" {wording.share(one.share)}" if one.share is not None else ""),
        wording.share(one.now("free_lately")),
        wording.short(one.ago),
        f"{done:,.0f}" if done is not None else wording.UNKNOWN,
        f"{failed:,.0f}" if failed else "",
        one.member.host,
        one.fact("gpu"),
        wording.share(one.now("gpu_use")) if one.fact("gpu") else "",
        _memory(one),
        one.fact("model"),
        *(f"{most:,.0f}" if (most := one.now(name)) else "" for name in _CHOSEN),
        (one.detail or last_error(one), "yellow"),
    )


def _memory(one: Listed) -> str:
    used, total = one.figure("gpu_memory_used"), one.figure("gpu_memory_total")
    return f"{spelt(used or 0)} of {spelt(total)}" if total else ""


def _process(member: Member, now: float) -> tuple[Cell, ...]:
    ago = max(0.0, now - member.seen)
    state = "silent" if is_silent(member, now) else member.state
    shown: Cell = (state, _STATES.get(state, ""))
    error = member.facts.get("last_error")
    wrong = [f"last error: {error}"] if error else []
    told = ", ".join((*wrong, *facts(member), *figures(member)))
    return member.role, member.name, shown, wording.short(ago), member.host, told
