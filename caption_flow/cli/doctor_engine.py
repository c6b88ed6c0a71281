"""Command line: the doctor's checks of what a worker needs here: packages, model and GPUs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from caption_flow.cli.doctor_check import in_time
from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.doctor import gpus, imports, machine, model, packages, room
from caption_flow.doctor.finding import Finding, ok, problem, skipped, warning
from caption_flow.doctor.gpus import Seen
from caption_flow.doctor.packages import Package
from caption_flow.engine.aside import aside
from caption_flow.engine.nvml import Card
from caption_flow.worker.consent import Consent
from caption_flow.worker.served import served

_GPU, _CONSENT = "GPU", "consent"
_NO_MODEL = "No model is configured, and no job was found that names one."
_ALLOW = "Allow it if you want to (docs/consent.md), or leave it to others: --stage names yours."


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
        self._consent = Consent(worker)
        self._wanted = _engines(self._consent, settings, worker.stages) if settings else []
        self._declined = self._consent.declines(worker.stages)
        self._packages: Mapping[str, Package] = {}

    async def make(self, found: list[Finding]) -> None:
        """Make all checks; what they find comes into `found`, one after another."""
        found += [problem(_CONSENT, f"A worker here {why}.", _ALLOW) for why in self._declined]
        settings = self._settings
        if settings is not None and settings.engine != "vllm":
            why = f"The engine is {settings.engine}, which needs no model and no GPU here."
            found.append(skipped("engine", why))
            return
        self._packages = await in_time(packages.CHECK, packages.installed, found) or {}
        await self._check_packages(found)
        await self._gpus_and_models(found)

    async def _check_packages(self, found: list[Finding]) -> None:
        found += packages.check_packages(self._packages, wanted=bool(self._wanted))
        names = [name for name in ("torch", "torchvision", "vllm") if self._has(name)]
        if self._imports and names:  # which has a time limit of its own
            found += await aside(lambda: imports.check_imports(names))
        if self._wanted:
            needed = max(room.parallel(one.arguments) for one in self._wanted)
            share = partial(machine.shared_memory, needed)
            looked = await in_time("shared memory", share, found)
            found += [looked] if looked else []

    def _has(self, name: str) -> bool:
        if name == "vllm":
            return packages.vllm_of(self._packages) is not None
        return name in self._packages

    async def _gpus_and_models(self, found: list[Finding]) -> None:
        for_cpu = packages.is_for_cpu(self._packages)
        ask_torch = not for_cpu and "torch" in self._packages
        look = partial(gpus.look, self._environ, by_torch=ask_torch)
        seen = await in_time(_GPU, look, found)
        if seen is not None:
            found.append(self._seen(seen, for_cpu=for_cpu))
        if not self._wanted:
            found.append(skipped(model.CHECK, self._no_model))
        chosen = self._chosen(seen) if seen else ()
        for one in self._wanted:
            of_engine = partial(_of_engine, one, chosen, for_cpu=for_cpu)
            found += await in_time(model.CHECK, of_engine, found) or []

    @property
    def _no_model(self) -> str:
        return "Every stage is declined." if self._declined else _NO_MODEL

    def _chosen(self, seen: Seen) -> tuple[Card, ...]:
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


def _engines(consent: Consent, settings: Broadcast, names: Sequence[str]) -> list[_Wanted]:
    """Say which a worker would start: of what a job asks, what its own operator allows."""
    settings = consent.follow(settings)
    named = names or [stage.name for stage in settings.stages]
    willing = [name for name in named if name not in consent.declined]
    if settings.engine != "vllm" or not willing:
        return []
    found = []
    for one in served(settings, willing, consent.overrides):
        first = one.stages[0]
        arguments = {**first.engine_args, **consent.overrides_of(one.share)}
        found.append(_Wanted(str(arguments.pop("model", first.model)), arguments, one.share))
    return found


def _of_engine(one: _Wanted, seen: tuple[Card, ...], *, for_cpu: bool) -> list[Finding]:
    looked = model.find_model(one.model, one.arguments)
    if for_cpu or not seen:
        why = "The CPU computes it." if for_cpu else "No GPU is seen."
        return [looked.finding, skipped(room.CHECK, why)]
    if looked.model is None:
        return [looked.finding, room.unknown(one.model)]
    engine = room.Engine(looked.model, one.arguments, one.share)
    return [looked.finding, *room.check_memory(engine, seen)]


def _named(seen: tuple[Card, ...]) -> str:
    names = list(dict.fromkeys(gpu.name for gpu in seen))
    return f"{len(seen)} of {names[0]}" if len(names) == 1 else f"{len(seen)} GPUs"
