"""No name of vLLM's own is taken for a slip of the finger."""

import dataclasses

import pytest

from caption_flow.config.check import decode
from caption_flow.config.schema import JobConfig


@pytest.mark.vllm
def test_every_engine_argument_is_taken():
    arguments = pytest.importorskip("vllm.engine.arg_utils").AsyncEngineArgs
    names = {argument.name for argument in dataclasses.fields(arguments)} - {"model"}

    _, mistakes = decode(JobConfig, {"vllm": dict.fromkeys(names, 1)})

    assert mistakes == []


@pytest.mark.vllm
def test_every_sampling_parameter_is_taken():
    known = set(JobConfig().vllm.sampling.__struct_fields__)
    names = set(pytest.importorskip("vllm").SamplingParams.__struct_fields__) - known

    _, mistakes = decode(JobConfig, {"vllm": {"sampling": dict.fromkeys(names, 1)}})

    assert mistakes == []
