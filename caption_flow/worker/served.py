"""Worker: the stages that it serves, by the engine that they share."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import engine_key
from caption_flow.config.vllm import Stage
from caption_flow.errors import ConfigError

_MEMORY = "gpu_memory_utilization"  # engine argument: an engine's share of its device


class Served(Struct, frozen=True):
    """An engine that is needed, and what for."""

    key: bytes  # tells it from others, of other settings too
    stages: tuple[Stage, ...]
    share: int  # of how many engines on one device it is one; 1 where its own share is given


def served(
    settings: Broadcast, names: Sequence[str], overrides: Mapping[str, Any]
) -> tuple[Served, ...]:
    """Say which engines a worker needs for the stages of these names, for all where none is named.

    `overrides`: engine arguments of this host. Raises ConfigError where they do not fit the job.
    """
    stages = _named(settings.stages, names)
    groups: dict[bytes, list[Stage]] = {}
    for stage in stages:
        groups.setdefault(engine_key(settings, stage), []).append(stage)
    models = list(dict.fromkeys(stage.model for stage in stages))
    if "model" in overrides and len(models) > 1:
        raise ConfigError(
            f"vllm.model is one model, but the stages served here have {len(models)} "
            f"({', '.join(models)}). Name the stages of one with --stage."
        )
    return tuple(
        Served(key, tuple(group), _share(settings, group[0], overrides, len(groups)))
        for key, group in groups.items()
    )


def _named(stages: Sequence[Stage], names: Sequence[str]) -> list[Stage]:
    known = [stage.name for stage in stages]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError("\n".join(_told(name, known) for name in unknown))
    return [stage for stage in stages if not names or stage.name in names]


def _told(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"It has {', '.join(known)}."
    return f'stages: the job has no stage "{name}"{"; " if near else ". "}{hint}'


def _share(settings: Broadcast, stage: Stage, overrides: Mapping[str, Any], engines: int) -> int:
    own = _MEMORY in stage.engine_args or _MEMORY in overrides
    return 1 if own or settings.engine != "vllm" else engines
