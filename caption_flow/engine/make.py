"""Engine: the one that a job's settings ask for, on this host."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.schema import Preparing
from caption_flow.config.vllm import Stage
from caption_flow.engine.nvml import CHOOSING
from caption_flow.engine.port import Engine
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.engine.vllm import VllmEngine
from caption_flow.errors import ConfigError
from caption_flow.lifecycle import Drain


def make_engine(
    settings: Broadcast,
    stages: Sequence[Stage],
    *,
    overrides: Mapping[str, Any],
    batch_size: int | None,
    trust_remote_code: bool,
    share: int,
    drain: Drain,
    preparers: Preparing = 0,
    watched: bool = False,
) -> Engine:
    """Make the engine that these stages share; `overrides` are engine arguments of this host.

    `share`: of how many engines on one device it is one. `drain` ends the wait for an engine that
    cannot be reached. `preparers`: processes that prepare images for a model in this one.
    `watched`: it tells how its cache is used, as far as it can.
    """
    capacity = batch_size or settings.batch_size
    if settings.engine == "simulated":
        slots = settings.simulated.slots
        used = min(capacity, slots)
        return SimulatedEngine(settings.simulated, capacity=used, holds=capacity, slots=slots)
    if settings.engine == "openai":
        from caption_flow.engine.openai import OpenaiEngine  # noqa: PLC0415 - slow to import

        return OpenaiEngine(
            settings.openai, stages, capacity=capacity, environ=os.environ, drain=drain
        )
    first = stages[0]
    arguments = {**first.engine_args, **overrides}
    model = str(arguments.pop("model", first.model))
    return VllmEngine(
        model,
        arguments,
        stages,
        capacity=capacity,
        trust_remote_code=trust_remote_code,
        share=share,
        preparers=preparers,
        watched=watched,
    )


def select_gpu(gpu_id: int) -> None:
    """Let this process see one GPU: the one of that number among those it may see now.

    Before vLLM or torch are imported, since they read it once.
    """
    for variable in CHOOSING:
        visible = [name for name in os.environ.get(variable, "").split(",") if name]
        if visible and gpu_id >= len(visible):
            raise ConfigError(
                f"gpu_id is {gpu_id}, but {variable} lets this process see {len(visible)}."
            )
        os.environ[variable] = visible[gpu_id] if visible else str(gpu_id)
