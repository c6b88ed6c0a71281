"""Sampling that single samples bring along: a retry may say what to change for them.

It travels as plain data, by the names that a document has, and is checked wherever it is read: by
the command that sends it, so that a slip is told at once, and by the worker that follows it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from caption_flow.config.check import decode, fields
from caption_flow.config.sampling import SamplingChange
from caption_flow.config.vllm import Stage
from caption_flow.config.words import dotted
from caption_flow.errors import BadImage, ConfigError
from caption_flow.model import SamplingKeys

_SECTION = "vllm.sampling."  # where a document has these keys


def sampling_keys(given: Mapping[str, Any]) -> SamplingKeys:
    """Read what a command line says as KEY=VALUE; ConfigError where it is no sampling."""
    # Reading YAML costs 15 ms of import, and a worker only follows.
    from caption_flow.config.variables import read_value  # noqa: PLC0415

    texts = {name.removeprefix(_SECTION): text for name, text in given.items()}
    hints = {name: info.type for name, info in fields(SamplingChange).items()}
    keys = {name: read_value(hints.get(name), text) for name, text in texts.items()}
    _change(keys, "--set ")
    return keys or UNSET


def resampled(stage: Stage, keys: SamplingKeys) -> Stage:
    """Return the stage as one sample wants it; BadImage where that cannot be read."""
    if keys is UNSET:
        return stage
    try:
        change = _change(keys, "sampling.")
    except ConfigError as exc:
        raise BadImage("bad_sampling", str(exc)) from exc
    return replace(stage, sampling=stage.sampling.changed(change))


def _change(keys: Mapping[str, Any], where: str) -> SamplingChange:
    made, mistakes = decode(SamplingChange, dict(keys))
    lines = [f"{where}{dotted(m.steps)}".rstrip(" .") + f" {m.sentence}" for m in mistakes]
    lines += [f"{where}{name} is no sampling parameter" for name in keys if "." in name]
    if made is None or lines:
        raise ConfigError("\n".join(lines))
    return made
