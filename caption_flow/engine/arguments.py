"""Engine: the arguments it starts with, from those given and from what its stages need."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from caption_flow.config.vllm import Stage
from caption_flow.engine.known import refuse_unknown
from caption_flow.engine.sampling import form_params

# vLLM's own share, 0.92, is meant for a GPU that does nothing else; a host has other work.
SHARE_ON_CPU = 0.4
# Code that comes with a model runs only where the worker's own operator says so.
_OPERATORS = frozenset({"trust_remote_code"})


def engine_arguments(
    given: Mapping[str, Any],
    stages: Sequence[Stage],
    *,
    model: str,
    trust_remote_code: bool,
    share: int = 1,
) -> dict[str, Any]:
    """Make the arguments of an engine for these stages, one of `share` on its device.

    What is given counts, and the rest is ours. Says which ones the installed vLLM does not know.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    refuse_unknown("vllm", given, known, "an argument of the installed vLLM")
    ours = {
        "disable_log_stats": True,
        **_images(stages),
        **_memory(AsyncEngineArgs.gpu_memory_utilization, share),
        **_forms(stages),
    }
    defaults = {key: value for key, value in ours.items() if key in known}
    wanted = {key: value for key, value in given.items() if key not in _OPERATORS}
    return {**defaults, **wanted, "model": model, "trust_remote_code": trust_remote_code}


def _images(stages: Sequence[Stage]) -> dict[str, Any]:
    looks = sum(len(stage.prompts) for stage in stages if stage.image)
    if looks == 0:
        # A model that could see need not hold what it sees with.
        return {"language_model_only": True}
    limits = {"limit_mm_per_prompt": {"image": 1}}
    # A cache of prepared images costs memory, and is for those that are seen again.
    return limits if looks > 1 else {**limits, "mm_processor_cache_gb": 0}


def _memory(whole: float, share: int) -> dict[str, Any]:
    from vllm.platforms import current_platform  # noqa: PLC0415 - slow to import

    if current_platform.is_cpu():
        return {"gpu_memory_utilization": SHARE_ON_CPU / share}
    return {"gpu_memory_utilization": whole / share} if share > 1 else {}


def _forms(stages: Sequence[Stage]) -> dict[str, Any]:
    """Choose what keeps answers to their form, the first that takes all that the stages say.

    Named, since only then vLLM lets us forbid blanks between the parts of JSON: a model may go on
    with them until `max_tokens`.
    """
    forms = [form_params(s.structured_outputs) for s in stages if s.structured_outputs is not None]
    for backend, takes in (("xgrammar", _xgrammar_takes), ("guidance", _guidance_takes)):
        if all(takes(form) for form in forms):
            config = {"backend": backend, "disable_any_whitespace": True}
            return {"structured_outputs_config": config}
    return {}  # vLLM tries others too, and says what is wrong


def _xgrammar_takes(form: Any) -> bool:
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import
    from vllm.v1.structured_output.backend_xgrammar import (  # noqa: PLC0415 - likewise
        validate_xgrammar_grammar,
    )

    return _passes(validate_xgrammar_grammar, SamplingParams(structured_outputs=form))


def _guidance_takes(form: Any) -> bool:
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import
    from vllm.v1.structured_output.backend_guidance import (  # noqa: PLC0415 - likewise
        validate_guidance_grammar,
    )

    return _passes(validate_guidance_grammar, SamplingParams(structured_outputs=form))


def _passes(check: Any, params: Any) -> bool:
    try:
        check(params)
    except Exception:  # of any kind: what grammars' own libraries raise, or one that is missing
        return False
    return True
