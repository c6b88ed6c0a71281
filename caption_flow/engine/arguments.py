"""Engine: which arguments the installed vLLM takes, so that a misspelt one is not passed over."""

import dataclasses
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from caption_flow.config.sampling import Sampling
from caption_flow.errors import ConfigError

# Images are seen once, so a cache of processed ones only costs memory and hashing.
DEFAULTS: Mapping[str, Any] = {
    "mm_processor_cache_gb": 0,
    "limit_mm_per_prompt": {"image": 1},
    "disable_log_stats": True,
}
# vLLM's own share, 0.92, is meant for a GPU that does nothing else; a host has other work.
DEFAULTS_ON_CPU: Mapping[str, Any] = {"gpu_memory_utilization": 0.4}
# Code that comes with a model runs only where the worker's own operator says so.
_OPERATORS = frozenset({"trust_remote_code"})


def engine_arguments(
    given: Mapping[str, Any], *, model: str, trust_remote_code: bool
) -> dict[str, Any]:
    """Make the arguments of the engine, or say which ones the installed vLLM does not know."""
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import
    from vllm.platforms import current_platform  # noqa: PLC0415 - likewise

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    _refuse_unknown("vllm", given, known, "an argument of the installed vLLM")
    wanted = {key: value for key, value in given.items() if key not in _OPERATORS}
    ours = {**DEFAULTS, **DEFAULTS_ON_CPU} if current_platform.is_cpu() else DEFAULTS
    defaults = {key: value for key, value in ours.items() if key in known}
    return {**defaults, **wanted, "model": model, "trust_remote_code": trust_remote_code}


def sampling_arguments(sampling: Sampling) -> dict[str, Any]:
    """Make the arguments of vLLM's SamplingParams, likewise."""
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import

    own = {f: getattr(sampling, f) for f in sampling.__struct_fields__ if f != "extra"}
    known = set(SamplingParams.__struct_fields__)
    _refuse_unknown("vllm.sampling", sampling.extra, known, "a sampling parameter of that vLLM")
    return {**own, "stop": list(sampling.stop), **sampling.extra}


def _refuse_unknown(path: str, given: Mapping[str, Any], known: Collection[str], kind: str) -> None:
    lines = []
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            lines.append(f"{path}.{key} is not {kind}{hint}")
    if lines:
        raise ConfigError("\n".join(lines))
