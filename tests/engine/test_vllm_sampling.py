"""vLLM's sampling parameters: made once for what they say, whoever says it."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.config.resampling import resampled
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.engine import vllm
from caption_flow.engine.vllm import SAMPLINGS, VllmEngine

STAGE = Stage("caption", "model", ("Describe.",))


class Params(dict[str, Any]):
    """Stands for vLLM's own, which cannot be made where it is not installed."""

    def clone(self) -> "Params":
        return Params(self)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """Every making of parameters."""
    calls: list[Stage] = []

    def make(stage: Stage) -> Params:
        calls.append(stage)
        return Params(temperature=stage.sampling.temperature)

    monkeypatch.setattr(vllm, "sampling_params", make)
    return calls


def params(engine: VllmEngine, keys: Mapping[str, Any], stage: Stage = STAGE) -> Any:
    return engine._params(resampled(stage, dict(keys)))


def test_each_sample_has_its_own_and_the_stages_stay(made: list[Stage]):
    engine = VllmEngine("model", {}, (), capacity=1)

    found = [params(engine, keys) for keys in ({}, {"temperature": 0.1}, {})]

    assert [p["temperature"] for p in found] == [0.7, 0.1, 0.7]
    assert len(made) == 2


def test_they_are_nobody_elses_to_write_into(made: list[Stage]):
    engine = VllmEngine("model", {}, (), capacity=1)
    params(engine, {})["temperature"] = 9

    assert params(engine, {}) == {"temperature": 0.7}
    assert len(made) == 1


def test_stages_of_another_form_have_others(made: list[Stage]):
    engine = VllmEngine("model", {}, (), capacity=1)
    yes = replace(STAGE, structured_outputs=StructuredOutputs(choice=("yes", "no")))
    for stage in (STAGE, yes, STAGE, yes):
        params(engine, {}, stage)

    assert made == [STAGE, yes]


def test_ways_that_only_single_samples_want_are_forgotten(made: list[Stage]):
    engine = VllmEngine("model", {}, (), capacity=1)
    for seed in range(2 * SAMPLINGS):
        params(engine, {"seed": seed})
        params(engine, {})
    params(engine, {"seed": 0})

    assert len(made) == 2 * SAMPLINGS + 2
