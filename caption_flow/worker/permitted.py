"""Consent: what a job of others may say to an engine of this host, name by name.

These names size and shape; docs/consent.md tells why each other one of vLLM is not among them. A
list of what may not pass would be out of date with each version of vLLM.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from caption_flow.config.words import shown

MOST_TOKENS: Final = 10_000_000
_MOST_ITEMS: Final = 10_000  # of a list
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REVISION = re.compile(r"(?!refs/)[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}")
_LONGEST_PATTERN = 128  # tokens of a loop; vLLM's scheduler looks for each size at each token


class Rule(Struct, frozen=True):
    """What a value may be."""

    fits: Callable[[Any], bool]
    expected: str


def objections(
    path: str, given: Mapping[str, Any], rules: Mapping[str, Rule], kind: str
) -> Iterator[str]:
    """Say what of this a job of others may not set, by its name."""
    for name, value in given.items():
        rule = rules.get(name)
        if rule is None:
            yield f"{path}.{name[:100]} is no {kind} that a job of others may set"
        elif not rule.fits(value):
            yield f"{path}.{name} is {shown(value)}; it may be {rule.expected}"


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_number(value: Any, low: float, high: float) -> bool:
    return type(value) in {int, float} and low <= value <= high


def _whole(low: int, high: int) -> Rule:
    return Rule(lambda value: _is_whole(value, low, high), f"a whole number from {low} to {high}")


def _number(low: float, high: float) -> Rule:
    return Rule(lambda value: _is_number(value, low, high), f"a number from {low:g} to {high:g}")


def _one_of(*names: str) -> Rule:
    listed = ", ".join(names)
    return Rule(lambda value: isinstance(value, str) and value in names, f"one of {listed}")


def _list(fits: Callable[[Any], bool], of: str) -> Rule:
    return Rule(
        lambda value: (
            isinstance(value, list) and len(value) <= _MOST_ITEMS and all(map(fits, value))
        ),
        f"a list of {of}, at most {_MOST_ITEMS:,}",
    )


def _mapping(fits: Callable[[str, Any], bool], expected: str) -> Rule:
    return Rule(
        lambda value: (
            isinstance(value, dict)
            and len(value) <= _MOST_ITEMS
            and all(fits(name, item) for name, item in value.items())
        ),
        expected,
    )


def _is_limit(modality: str, limit: Any) -> bool:
    if modality not in {"image", "video", "audio"}:
        return False
    if isinstance(limit, dict):
        known = {"count", "width", "height", "num_frames", "length"}
        return limit.keys() <= known and all(_is_whole(n, 0, 100_000) for n in limit.values())
    return _is_whole(limit, 0, 100)


def _is_size(name: str, value: Any) -> bool:
    if name == "size" and isinstance(value, dict):
        sides = {"shortest_edge", "longest_edge", "height", "width"}
        return value.keys() <= sides and all(_is_whole(n, 1, 1 << 31) for n in value.values())
    return name in _SIZES and (type(value) is bool or _is_whole(value, 0, 1 << 31))


# What processors of images call how large, and in how many pieces, an image is looked at.
_SIZES = frozenset(
    {
        *("min_pixels", "max_pixels", "do_image_splitting", "do_pan_and_scan", "num_crops"),
        *("min_dynamic_patch", "max_dynamic_patch", "dynamic_image_size", "max_image_tiles"),
        *("pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "image_seq_length"),
        *("max_soft_tokens", "size", "use_thumbnail"),
    }
)


def _is_loop(value: Any) -> bool:
    if value is None or value is False:
        return True
    return isinstance(value, dict) and all(
        _is_whole(n, 0, _LONGEST_PATTERN) for n in value.values()
    )


_FLAG = Rule(lambda value: type(value) is bool, "true or false")
_NAME = Rule(
    lambda value: isinstance(value, str) and bool(_WORD.fullmatch(value)), "one of vLLM's names"
)
_TOKENS = _whole(1, MOST_TOKENS)
_ALONE = Rule(
    lambda value: type(value) is int and value == 1,
    "1, unless the worker's own vllm section sets it",
)

ARGUMENTS: Final[Mapping[str, Rule]] = {
    # How long, how many at once.
    "max_model_len": _TOKENS,
    "max_num_seqs": _whole(1, 65_536),
    "max_num_batched_tokens": _TOKENS,
    "long_prefill_token_threshold": _whole(0, MOST_TOKENS),
    "enable_chunked_prefill": _FLAG,
    "disable_chunked_mm_input": _FLAG,
    "enable_prefix_caching": _FLAG,
    "scheduling_policy": _one_of("fcfs", "priority"),
    "async_scheduling": _FLAG,
    "performance_mode": _one_of("balanced", "interactivity", "throughput"),
    # How it is computed.
    "dtype": _NAME,
    "kv_cache_dtype": _NAME,
    "block_size": _whole(1, 1024),
    "seed": _whole(0, 2**63 - 1),
    "enforce_eager": _FLAG,
    "optimization_level": _whole(0, 3),
    "disable_sliding_window": _FLAG,
    "disable_cascade_attn": _FLAG,
    "enable_expert_parallel": _FLAG,
    "tensor_parallel_size": _ALONE,
    "pipeline_parallel_size": _ALONE,
    "data_parallel_size": _ALONE,
    "gpu_memory_utilization": _number(0.01, 0.92),
    # Which of the model's own forms is loaded. What stands there is code of vLLM's own.
    "revision": Rule(
        lambda value: (
            isinstance(value, str) and bool(_REVISION.fullmatch(value)) and ".." not in value
        ),
        "a branch, a tag or a commit",
    ),
    "quantization": _NAME,
    "tokenizer_mode": _one_of("auto", "hf", "slow", "mistral"),
    "config_format": _one_of("auto", "hf", "mistral"),
    "model_impl": _one_of("auto", "vllm", "transformers"),
    "runner": _one_of("auto", "generate"),
    "generation_config": _one_of("auto", "vllm"),
    "trust_remote_code": _FLAG,  # which no engine here takes from a job
    # How much of an image is looked at, and remembered.
    "limit_mm_per_prompt": _mapping(_is_limit, "image, video, audio, each with how many"),
    "mm_processor_kwargs": _mapping(_is_size, "sizes, such as max_pixels"),
    "mm_processor_cache_gb": _number(0, 4),
    "mm_encoder_tp_mode": _one_of("weights", "data"),
    "language_model_only": _FLAG,
    "interleave_mm_strings": _FLAG,
    "disable_log_stats": _FLAG,
}

# Weights as tensors and nothing else; a pickle says what is to be run.
SAFE_FORMATS: Final = _one_of("auto", "safetensors", "mistral")
ANY_FORMATS: Final = _one_of("auto", "safetensors", "mistral", "hf", "pt", "npcache")

SAMPLING: Final[Mapping[str, Rule]] = {
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "top_k": _whole(-1, MOST_TOKENS),
    "min_p": _number(0, 1),
    "seed": _whole(-(2**63), 2**63 - 1),
    "min_tokens": _whole(0, MOST_TOKENS),
    "ignore_eos": _FLAG,
    "stop_token_ids": _list(lambda token: _is_whole(token, 0, MOST_TOKENS), "tokens"),
    "allowed_token_ids": _list(lambda token: _is_whole(token, 0, MOST_TOKENS), "tokens"),
    "bad_words": _list(lambda word: isinstance(word, str), "texts"),
    "logit_bias": _mapping(lambda _, bias: _is_number(bias, -100, 100), "numbers by token"),
    "include_stop_str_in_output": _FLAG,
    "spaces_between_special_tokens": _FLAG,
    "thinking_token_budget": _whole(0, MOST_TOKENS),
    "repetition_detection": Rule(_is_loop, f"false, or numbers up to {_LONGEST_PATTERN}"),
}
# What a server may be told beside that: the same, as such servers call it.
FIELDS: Final[Mapping[str, Rule]] = {
    **SAMPLING,
    "temperature": _number(0, 10),
    "top_p": _number(0, 1),
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "repetition_penalty": _number(0, 10),
    "reasoning_effort": _one_of("none", "minimal", "low", "medium", "high"),
}


def sampling(path: str, given: Mapping[str, Any], known: Iterable[str] = ()) -> Iterator[str]:
    """Say which sampling parameters a job of others may not set; `known` may be anything."""
    asked = {name: value for name, value in given.items() if name not in known}
    yield from objections(path, asked, SAMPLING, "sampling parameter")
