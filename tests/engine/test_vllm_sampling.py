"""vLLM's sampling parameters: made once for what they say, whoever says it."""

from collections.abc import Mapping
from typing import Any

import pytest

from caption_flow.config.resampling import resampled
from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.engine import vllm
from caption_flow.engine.vllm import VllmEngine

STAGE = Stage("caption", "model", ("Describe.",))


class Params(dict[str, Any]):
    """Stands for vLLM's own, which cannot be made where it is not installed."""

    def clone(self) -> "Params":
        return Params(self)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Sampling]:
    """Every making of parameters."""
    calls: list[Sampling] = []

    def make(sampling: Sampling) -> Params:
        calls.append(sampling)
        return Params(temperature=sampling.temperature)

    monkeypatch.setattr(vllm, "_sampling_params", make)
    return calls


def params(engine: VllmEngine, keys: Mapping[str, Any]) -> Any:
    return engine._params(resampled(STAGE, dict(keys)))


def test_each_sample_has_its_own_and_the_stages_stay(made: list[Sampling]):
    engine = VllmEngine("model", {}, (), capacity=1)

    found = [params(engine, keys) for keys in ({}, {"temperature": 0.1}, {})]

    assert [p["temperature"] for p in found] == [0.7, 0.1, 0.7]
    assert len(made) == 2


def test_they_are_nobody_elses_to_write_into(made: list[Sampling]):
    engine = VllmEngine("model", {}, (), capacity=1)
    params(engine, {})["temperature"] = 9

    assert params(engine, {}) == {"temperature": 0.7}
    assert len(made) == 1
