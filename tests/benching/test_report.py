"""What people are shown of a bench."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from caption_flow.bench.ceiling import Pace
from caption_flow.bench.result import Fed
from caption_flow.cli.bench_report import Wish, as_json, as_text
from caption_flow.engine.cache import CacheUse
from tests.benching.results import FINE, ROOMY, cached, pace, starved


def test_people_see_pace_share_and_what_to_change():
    faster = replace(FINE.engines[0], paces=(pace(64, 100.0), pace(128, 150.0)))
    result = replace(FINE, engines=(faster,), fed=Fed(2000, repeated=True))

    shown = as_text(result, Wish(None, 1_000_000), Console(file=io.StringIO(), width=200))

    for words in ("Engine by itself", "64 requests at once", "98%", "of the ceiling"):
        assert words in shown
    assert "vllm.batch_size: 128" in shown
    assert "they were repeated" in shown
    assert "1,000,000 images" in shown
    assert "an hour each" not in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_people_see_how_full_the_cache_is_and_what_it_saves():
    def shown(cache: CacheUse) -> str:
        return as_text(cached(cache), Wish(None, 1), Console(file=io.StringIO(), width=200))

    whole = "full at most, 30% on average; 20% of the tokens of prompts come from its prefix cache"
    assert whole in shown(ROOMY)
    assert "no prefix cache" in shown(replace(ROOMY, looked_up=0, found=0))


def test_price_is_reckoned_with_the_pace_of_the_pipeline():
    shown = as_text(FINE, Wish(3.6, 1000), Console(file=io.StringIO(), width=200))

    assert "0.0102" in shown
    assert "Nothing to change, by what was measured." in shown


def test_machine_that_has_something_else_to_do_is_told_of():
    engine = replace(FINE.engines[0], after=pace(64, 70.0))
    result = replace(FINE, engines=(engine,))

    shown = as_text(result, Wish(None, 1), Console(file=io.StringIO(), width=200))

    assert "M by itself made 100 captions/s before the pipeline and 70 after it" in shown
    assert json.loads(as_json(result, Wish(None, 1)))["engines"][0]["unsteady"]


@pytest.mark.parametrize("after", [None, pace(64, 90.0), pace(64, 110.0)])
def test_quiet_machine_is_not(after: Pace | None):
    result = replace(FINE, engines=(replace(FINE.engines[0], after=after),))

    shown = as_text(result, Wish(None, 1), Console(file=io.StringIO(), width=200))

    assert "something else is at work" not in shown


def test_ceiling_is_the_faster_of_two_measurements():
    engine = replace(FINE.engines[0], after=pace(64, 130.0))

    assert replace(FINE, engines=(engine,)).ceiling == 130.0


def names(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for name, value in told.items():
            yield name
            yield from names(value)
    elif isinstance(told, list):
        for value in told:
            yield from names(value)


def test_page_tells_each_key_of_the_json():
    page = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")

    results = (starved(), cached(ROOMY))
    told = {n for one in results for n in names(json.loads(as_json(one, Wish(None, 1))))}

    assert {name for name in told if f"`{name}`" not in page} == set()
