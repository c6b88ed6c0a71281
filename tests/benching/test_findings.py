"""Findings: nothing is said without a figure, and what is said names it."""

import pytest
from msgspec.structs import replace

from caption_flow.bench.findings import Finding, findings
from caption_flow.bench.result import Result
from caption_flow.bench.sides import Side, Sides
from tests.benching.results import FINE, ROOMY, cached, pace, starved


def only(result: Result) -> Finding:
    [found] = findings(result)
    return found


def test_nothing_is_to_be_changed_where_the_engine_is_kept_full():
    assert findings(FINE) == []


def test_engine_that_is_full_is_not_called_starved_whatever_the_share():
    assert findings(starved(free=0.01)) == []


@pytest.mark.parametrize(
    ("changes", "about", "figure"),
    [
        ({"machine_busy": 0.97}, "cpu", "all 8 cores are 97% busy"),
        ({"idle": 0.4}, "preparing", "40% while the worker holds images"),
        (
            {"limit": "feeding", "limit_share": 0.9, "why": "Feeding: slots wait."},
            "feeding",
            "At 90% of the looks: Feeding: slots wait.",
        ),
        ({}, "waiting", "free 50% of the time"),
    ],
)
def test_what_the_engine_waits_for_is_named(changes: dict[str, object], about: str, figure: str):
    found = only(starved(**changes))

    assert found.about == about
    assert "makes 50% of the ceiling" in found.measured
    assert figure in found.measured


@pytest.mark.parametrize(("load", "rate"), [(128, 120.0), (32, 110.0)])
def test_load_that_is_faster_is_told_with_both_figures(load: int, rate: float):
    engine = replace(FINE.engines[0], paces=(pace(64, 100.0), pace(load, rate)))

    found = only(replace(FINE, engines=(engine,)))

    assert found.change == f"vllm.batch_size: {load}"
    assert f"{rate:g} captions/s" in found.measured
    assert "100 with the 64 of now" in found.measured


def test_images_that_the_model_makes_smaller_are_told_with_their_tokens():
    seen = Sides(Side(4096, 4 << 20, 0.04, 1200), Side(2048, 1 << 20, 0.012, 1200))
    engine = replace(FINE.engines[0], sides=seen)

    found = only(replace(FINE, engines=(engine,)))

    assert found.change == "images.max_side: 2048"
    assert all(word in found.measured for word in ("1,200 tokens", "4.0 MiB", "40 ms", "12 ms"))


@pytest.mark.parametrize("tight", [{"filled": 0.85, "highest": 1.0}, {"preempted": 40}])
def test_cache_that_has_too_little_room_is_told_with_how_full_it_is(tight: dict[str, float]):
    found = only(cached(replace(ROOMY, **tight)))

    assert found.about == "kv_cache"
    assert f"{tight.get('highest', 0.5):.0%} at most" in found.measured
    assert "gpu_memory_utilization" in found.change


def test_cache_with_room_is_no_finding():
    assert findings(cached(ROOMY, prompts=3)) == []
    assert findings(cached(replace(ROOMY, preempted=1))) == []
    assert findings(cached(replace(ROOMY, highest=1.0))) == []
    assert findings(cached(replace(ROOMY, filled=0.9, highest=0.95))) == []


def test_several_prompts_on_an_image_without_a_prefix_cache_are_told():
    off = replace(ROOMY, looked_up=0, found=0)

    assert only(cached(off, prompts=3)).change == "vllm.enable_prefix_caching: true"
    assert findings(cached(off)) == []


def test_answers_that_were_cut_and_prompts_that_come_twice_are_counted():
    answers = replace(FINE.answers, cut=8, repeated={"caption": 1})

    cut, twice = findings(replace(FINE, answers=answers))

    assert cut.measured.startswith("8 of 64 answers")
    assert '1 of the prompts of the stage "caption"' in twice.measured
