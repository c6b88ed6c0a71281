"""The real vLLM in `caption-flow bench`: loaded once, by itself and in a whole pipeline."""

import json

import pytest

from tests.e2e.desk import Desk, Ended
from tests.e2e.shapes import LOADING, ONE_PROCESS, SHAPES, means

__all__ = ["means"]
BLOCKS = 6  # of 128 tokens, one of which vLLM keeps
pytestmark = pytest.mark.vllm


def bench(desk: Desk, **arguments: object) -> Ended:
    document = desk.folder / "run.yaml"
    engine = {"max_model_len": 512, "gpu_memory_utilization": 0.1, "enforce_eager": True}
    vllm = {"model": str(SHAPES / "model"), **engine, **ONE_PROCESS, "batch_size": 8, **arguments}
    document.write_text(json.dumps({"vllm": {**vllm, "sampling": {"temperature": 0}}}))
    words = ("bench", "--images", SHAPES / "images", "--config", document, "--seconds", 3)
    return desk.start(*words, "--json").wait(LOADING)


def test_share_of_a_real_engine_is_measured(desk: Desk):
    ended = bench(desk)

    assert ended.code == 0, ended.words
    told = json.loads(ended.out)
    assert told["ceiling"] > 0
    assert told["share"] == pytest.approx(told["pipeline"] / told["ceiling"])
    [engine] = told["engines"]
    # Where others have the cores, either is as slow as they let it be, and the engine says so.
    assert 0 < told["share"] < 1.5 or engine["unsteady"]
    assert told["prompt_tokens_per_caption"] > 1
    assert told["left_out"] == []
    assert told["run"]["written"] == told["run"]["samples"]
    assert ended.err.count("Loading the engine vllm (") == 1
    cache = told["engines"][0]["paces"][0]["cache"]
    assert 0 < cache["filled"] <= cache["highest"] < 0.9
    assert 0 <= cache["found"] < cache["looked_up"]


def test_cache_of_a_real_engine_that_has_no_room_is_told(desk: Desk):
    """Of one block a request, and as few as the longest request may need."""
    ended = bench(desk, num_gpu_blocks_override=BLOCKS, enable_prefix_caching=False)

    assert ended.code == 0, ended.words
    told = json.loads(ended.out)
    cache = told["engines"][0]["paces"][0]["cache"]
    assert cache["looked_up"] == 0
    assert "kv_cache" in {found["about"] for found in told["findings"]}
