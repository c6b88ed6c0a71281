"""Engine: vLLM's sampling parameters, as a stage says them."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.engine.known import refuse_unknown
from caption_flow.errors import ConfigError

# How often a request says that it lives. Each token would cost the event loop a wake-up.
TOKENS_PER_SIGN = 32
# What is taken for a loop: a run of 8 to 32 tokens that comes 4 times on end, or a shorter one that
# fills as many. So at least 32 tokens are nothing but repetition, which neither a list nor a row
# of dots in a caption is. Each size costs vLLM's scheduler 0.3 microseconds a token.
REPETITION: Mapping[str, int] = {"min_pattern_size": 8, "max_pattern_size": 32, "min_count": 4}
_LOOPS = "repetition_detection"


def sampling_params(stage: Stage) -> Any:
    """Make the SamplingParams of a stage; ConfigError for names that vLLM does not know."""
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415 - likewise

    return SamplingParams(
        **_arguments(stage, set(SamplingParams.__struct_fields__)),
        output_kind=RequestOutputKind.DELTA,
        stream_interval=TOKENS_PER_SIGN,
    )


def form_params(form: StructuredOutputs) -> Any:
    """Make vLLM's own of the form that answers must have."""
    from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415 - slow to import

    return StructuredOutputsParams(
        json=None if form.json is None else json.dumps(form.json),  # a text is cloned for nothing
        choice=None if form.choice is None else list(form.choice),
        regex=form.regex,
        grammar=form.grammar,
    )


def _arguments(stage: Stage, known: set[str]) -> dict[str, Any]:
    sampling = stage.sampling
    refuse_unknown("vllm.sampling", sampling.extra, known, "a sampling parameter of that vLLM")
    if "structured_outputs" in sampling.extra:
        raise ConfigError(
            "vllm.sampling.structured_outputs does not count; write it as vllm.structured_outputs, "
            "or as structured_outputs of a stage"
        )
    own = {f: getattr(sampling, f) for f in sampling.__struct_fields__ if f != "extra"}
    made = {**own, "stop": list(sampling.stop), **sampling.extra}
    if _LOOPS in known:
        made[_LOOPS] = _repetition(sampling.extra.get(_LOOPS, REPETITION))
    if stage.structured_outputs is not None:
        made["structured_outputs"] = form_params(stage.structured_outputs)
    return made


def _repetition(said: Any) -> Any:
    """Make vLLM's own of it; None where it is turned off."""
    from vllm.sampling_params import RepetitionDetectionParams  # noqa: PLC0415 - slow to import

    path = f"vllm.sampling.{_LOOPS}"
    if said is None or said is False:
        return None
    if not isinstance(said, Mapping):
        raise ConfigError(f"{path} is {said!r}; expected false, or a section with its numbers")
    known = [field.name for field in dataclasses.fields(RepetitionDetectionParams)]
    refuse_unknown(path, said, known, "one of its numbers")
    for name, number in said.items():
        if type(number) is not int:
            raise ConfigError(f"{path}.{name} is {number!r}; expected a whole number")
    return RepetitionDetectionParams(**said)
