"""Listing: what processes tell of themselves is shown, also what is no number one can count."""

import io
import time
from datetime import datetime

from rich.console import Console

from caption_flow.cli import listing
from caption_flow.model import Counts
from caption_flow.monitor.speeds import Speeds
from caption_flow.monitor.workers import workers
from caption_flow.queue.ports import Member, Shard, Snapshot

NOW = time.time()
GPU = {"gpu_use": 0.83, "gpu_memory_used": 60.0 * 2**30, "gpu_memory_total": 80.0 * 2**30}


def worker(state: str = "working", *, figures: dict[str, float], facts: dict[str, str]) -> Member:
    return Member("worker", "w", "host-a", 1, NOW - 60, NOW, state, figures, facts)


def shown(member: Member, width: int = 300) -> str:
    listed = workers(Snapshot(NOW, Counts(), (member,)), Speeds())
    out = io.StringIO()
    Console(file=out, width=width).print(listing.workers(listed, width))
    return out.getvalue()


def test_worker_tells_its_gpu_and_model():
    told = shown(worker(figures=GPU, facts={"gpu": "H100 (0)", "model": "Qwen/Qwen2.5-VL-7B"}))

    for words in ("H100 (0)", "Qwen/Qwen2.5-VL-7B", "83%", "60.0 GiB of 80.0 GiB"):
        assert words in told


def test_worker_tells_what_it_has_chosen():
    chosen = {"claim_ahead": 1234.0, "in_flight": 77.0, "complete_batch": 96.0, "preparers": 31.0}

    told = shown(worker(figures=chosen, facts={}))

    for words in ("ahead", "1,234", "in flight", "77", "settles", "96", "preparers", "31"):
        assert words in told


def test_worker_tells_its_last_error_and_when():
    at = datetime(2020, 5, 17, 12, 34, 56).timestamp()
    facts = {"last_error": "a.jpg: engine, out of memory", "last_error_at": f"{at:.0f}"}

    assert "05-17 12:34 a.jpg: engine, out of memory" in shown(worker(figures={}, facts=facts))


def test_what_keeps_a_worker_now_comes_before_what_went_wrong_once():
    told = shown(worker("idle: no model", figures={}, facts={"last_error": "long ago"}))

    assert "no model" in told
    assert "long ago" not in told


def test_time_that_a_stranger_tells_may_be_none():
    for at in ("x", "²", "9" * 40):
        facts = {"last_error": "oops", "last_error_at": at}
        assert "oops" in shown(worker(figures={}, facts=facts))


def test_feeder_tells_its_last_error():
    feeder = Member("feed", "f", "h", 1, 0.0, NOW, "working", {}, {"last_error": "a.jpg: gone"})
    out = io.StringIO()
    Console(file=out, width=200).print(listing.processes([feeder], NOW, 200))

    assert "last error: a.jpg: gone" in out.getvalue()


def test_sink_tells_its_last_part_and_when():
    figures, facts = {"rows": 5.0, "last_part_at": NOW}, {"last_part": "part-1.parquet"}
    sink = Member("sink", "s", "h", 1, 0.0, NOW, "working", figures, facts)

    assert list(listing.facts(sink)) == ["last_part part-1.parquet"]
    rows, at = listing.figures(sink)
    assert rows == "rows 5"
    assert at.startswith("last_part_at ")
    assert at.count(":") == 2


def test_stage_of_any_name_has_its_figures():
    told = worker(figures={"slots:looked_at": 8.0}, facts={})

    assert list(listing.figures(told)) == ["slots:looked_at 8"]


def test_shard_tells_how_far_it_is():
    out = io.StringIO()
    told = [Shard("coast", 1_000, 250, 50), Shard("left over", 0, 0, 0)]
    Console(file=out, width=80).print(listing.shards(told, 80))

    _, coast, rest = out.getvalue().splitlines()
    assert coast.split() == ["coast", "30%", "250", "1,000", "50"]
    assert rest.split() == ["left", "over", "-", "0", "0"]
