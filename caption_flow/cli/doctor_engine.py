"""Command line: the doctor's checks of what a worker needs here: packages, model and GPUs."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.doctor import gpus, imports, machine, model, packages, room
from caption_flow.doctor.finding import Finding, ok, problem, skipped, warning
from caption_flow.doctor.gpus import Gpu, Seen
from caption_flow.engine.aside import aside
from caption_flow.worker.served import served

_GPU = "GPU"
_NO_MODEL = "No model is configured, and no job was found that names one."


class _Wanted(Struct, frozen=True):
    """An engine that a worker of this host would start."""

    model: str
    arguments: Mapping[str, Any]  # of vLLM
    share: int  # of how many engines on one device it is one


class EngineRounds:
    """Checks for one worker; `settings`: None where no job says what it is to do.

    `worker`: what its own document says.
    """

    def __init__(
        self,
        settings: Broadcast | None,
        worker: WorkerConfig,
        gpu_id: int | None,
        environ: Mapping[str, str],
        *,
        imports: bool,
    ) -> None:
        self._settings = settings
        self._gpu_id = worker.gpu_id if gpu_id is None else gpu_id
        self._environ = environ
        self._imports = imports
        self._wanted = _engines(settings, worker) if settings else []
        self._packages = packages.installed()

    async def make(self) -> list[Finding]:
        """Make all checks."""
        settings = self._settings
        if settings is not None and settings.engine != "vllm":
            why = f"The engine is {settings.engine}, which needs no model and no GPU here."
            return [skipped("engine", why)]
        found = packages.check_packages(self._packages, wanted=bool(self._wanted))
        if self._imports:
            names = [name for name in ("torch", "torchvision", "vllm") if self._has(name)]
            found += await aside(lambda: imports.check_imports(names)) if names else []
        if self._wanted:
            needed = max(room.parallel(one.arguments) for one in self._wanted)
            found.append(machine.shared_memory(needed))
        return [*found, *await self._gpus_and_models()]

    def _has(self, name: str) -> bool:
        if name == "vllm":
            return packages.vllm_of(self._packages) is not None
        return name in self._packages

    async def _gpus_and_models(self) -> list[Finding]:
        for_cpu = packages.is_for_cpu(self._packages)
        ask_torch = not for_cpu and "torch" in self._packages
        seen = await aside(lambda: gpus.look(self._environ, by_torch=ask_torch))
        found = [self._seen(seen, for_cpu=for_cpu)]
        if not self._wanted:
            return [*found, skipped(model.CHECK, _NO_MODEL)]
        chosen = self._chosen(seen)
        for one in self._wanted:
            found += await aside(lambda one=one: _of_engine(one, chosen, for_cpu=for_cpu))  # type: ignore[misc]
        return found

    def _chosen(self, seen: Seen) -> tuple[Gpu, ...]:
        """Give those that a worker of this id sees."""
        if self._gpu_id is None:
            return seen.gpus
        return seen.gpus[self._gpu_id : self._gpu_id + 1]

    def _seen(self, seen: Seen, *, for_cpu: bool) -> Finding:
        if for_cpu:
            if not seen.gpus:
                return skipped(_GPU, "vLLM is built for the CPU here.")
            said = f"{_named(seen.gpus)} is here, and vLLM is built for the CPU."
            return warning(_GPU, said, "Install caption-flow[vllm] in a fresh environment.")
        hidden = f" ({seen.hidden})" if seen.hidden else ""
        if not seen.gpus:
            if not self._wanted and self._gpu_id is None:
                return skipped(_GPU, f"None is seen here{hidden}, and nothing asks for one.")
            return problem(_GPU, f"No GPU is seen here{hidden}{self._for_whom()}.", _NO_GPU)
        if self._gpu_id is not None and self._gpu_id >= len(seen.gpus):
            said = f"There is no GPU {self._gpu_id}: {len(seen.gpus)} are seen here{hidden}."
            return problem(_GPU, said, f"Give --gpu-id from 0 to {len(seen.gpus) - 1}.")
        return ok(_GPU, f"{_named(seen.gpus)}, as {seen.by} says{hidden}.")

    def _for_whom(self) -> str:
        return f", and {self._wanted[0].model} is to run on one" if self._wanted else ""


_NO_GPU = (
    "See whether nvidia-smi lists one: if not, install the driver, or start the container with "
    "--gpus all; if it does, mend CUDA_VISIBLE_DEVICES. Without a GPU, install caption-flow[cpu], "
    'or set "engine: openai" to use a server.'
)


def _engines(settings: Broadcast, worker: WorkerConfig) -> list[_Wanted]:
    if settings.engine != "vllm":
        return []
    found = []
    for one in served(settings, worker.stages, worker.vllm):
        first = one.stages[0]
        arguments = {**first.engine_args, **worker.vllm}
        found.append(_Wanted(str(arguments.pop("model", first.model)), arguments, one.share))
    return found


def _of_engine(one: _Wanted, seen: tuple[Gpu, ...], *, for_cpu: bool) -> list[Finding]:
    looked = model.find_model(one.model, one.arguments)
    if for_cpu or not seen:
        why = "The CPU computes it." if for_cpu else "No GPU is seen."
        return [looked.finding, skipped(room.CHECK, why)]
    if looked.model is None:
        return [looked.finding, room.unknown(one.model)]
    engine = room.Engine(looked.model, one.arguments, one.share)
    return [looked.finding, *room.check_memory(engine, seen)]


def _named(seen: tuple[Gpu, ...]) -> str:
    names = list(dict.fromkeys(gpu.name for gpu in seen))
    return f"{len(seen)} of {names[0]}" if len(names) == 1 else f"{len(seen)} GPUs"
