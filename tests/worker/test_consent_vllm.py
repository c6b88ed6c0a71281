"""Consent against the arguments that the installed vLLM really has."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from caption_flow.config import WorkerConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.arguments import engine_arguments
from caption_flow.worker.consent import Consent
from caption_flow.worker.permitted import ARGUMENTS, SAMPLING
from tests.made import settings

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # what vLLM imports warns of itself
]

PAGE = (Path(__file__).parents[2] / "docs" / "consent.md").read_text()
SERVER = "wss://project.example"
VALUES: dict[str, Any] = {
    "dtype": "bfloat16",
    "kv_cache_dtype": "auto",
    "revision": "main",
    "quantization": "awq",
    "limit_mm_per_prompt": {"image": 1},
    "mm_processor_kwargs": {"max_pixels": 1000},
    "gpu_memory_utilization": 0.5,
}


def arguments() -> set[str]:
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import

    return {field.name for field in dataclasses.fields(AsyncEngineArgs)}


def table(head: str) -> set[str]:
    """The names in the first column of a table of the page."""
    section = PAGE.partition(f"\n{head}\n")[2].partition("\n#")[0]
    firsts = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return {name for first in firsts for name in re.findall(r"`([a-z0-9_]+)`", first)}


def test_each_argument_that_is_allowed_is_one_of_vllm():
    assert ARGUMENTS.keys() <= arguments()


def test_each_sampling_parameter_that_is_allowed_is_one_of_vllm():
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import

    assert SAMPLING.keys() <= set(SamplingParams.__struct_fields__)


def test_the_page_tells_of_each_argument_whether_it_is_allowed():
    from vllm import __version__  # noqa: PLC0415 - slow to import

    allowed, declined = table("### What a job may set"), table("### What it may not")

    assert allowed == {*ARGUMENTS, "load_format"}
    assert not allowed & declined
    if __version__.startswith("0.32."):  # of which the page tells; later ones have others
        assert {name for name in arguments() if not name.startswith("_")} == allowed | declined


def test_what_is_allowed_makes_arguments_of_an_engine_that_loads_safetensors(tmp_path: Path):
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import

    said = {name: VALUES[name] if name in VALUES else _fitting(name) for name in ARGUMENTS}
    told = settings(engine="vllm", stages=(Stage("see", "org/name", ("See.",), engine_args=said),))
    # Of a model that is there: AsyncEngineArgs looks for it.
    one = Consent(WorkerConfig(server=SERVER, vllm={"model": str(tmp_path)}))

    [stage] = one.follow(told).stages

    assert one.declined == {}
    given = {**stage.engine_args, **one.overrides_of(1)}
    model = given.pop("model")
    made = engine_arguments(given, [stage], model=model, trust_remote_code=False)
    config = AsyncEngineArgs(**made).create_load_config()
    assert config.load_format == "safetensors"
    assert made["trust_remote_code"] is False
    assert made["runner"] == "generate"


def _fitting(name: str) -> Any:
    """Find a value that a rule takes."""
    rule = ARGUMENTS[name]
    tried = [True, 1, 0.5, "auto", "vllm", "fcfs", "balanced", "weights"]
    return next(value for value in tried if rule.fits(value))


@pytest.mark.parametrize(("made", "loads"), [("safetensors", False), ("auto", True)])
def test_weights_in_a_pickle_are_found_only_where_they_are_allowed(
    tmp_path: Path, made: str, *, loads: bool
):
    from vllm.config.load import LoadConfig  # noqa: PLC0415 - slow to import
    from vllm.model_executor.model_loader.default_loader import (  # noqa: PLC0415 - likewise
        DefaultModelLoader,
    )

    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    loader = DefaultModelLoader(LoadConfig(load_format=made))

    def found() -> list[str]:
        _, files, *_ = loader._prepare_weights(
            str(tmp_path), None, None, fall_back_to_pt=True, allow_patterns_overrides=None
        )
        return [Path(file).name for file in files]

    if loads:
        assert found() == ["pytorch_model.bin"]
    else:
        with pytest.raises(RuntimeError, match="Cannot find any model weights"):
            found()
