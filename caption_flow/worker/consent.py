"""Worker: what its own operator lets it do for a job of others.

A job that is reached through a proxy is strangers' word, from the first setting to the last. Each
stage is judged on its own: one that asks for more than is allowed here is declined, with the name
of what it asks, and others serve it. What is left is followed as it stands here: with weights that
are tensors only, servers and keys that the operator named, and bounds on what costs this host.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from caption_flow.config import WorkerConfig
from caption_flow.config.allowing import AllowedEndpoint, is_allowed
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.dataset import DownloadConfig
from caption_flow.config.schema import ImagesConfig
from caption_flow.config.sizes import MIB
from caption_flow.config.vllm import Stage
from caption_flow.config.words import shown
from caption_flow.worker import permitted
from caption_flow.worker.bounds import form_objections
from caption_flow.worker.servers import Servers

logger = logging.getLogger(__name__)

MOST_PIXELS = ImagesConfig().max_pixels  # of an image that is decoded here
MOST_BYTES = 1024 * MIB  # of an image that is downloaded
MOST_SIMULATED = 100_000  # tokens of an answer that no model makes
MOST_REQUESTS = 4096  # in an engine at once
SOONEST_LEASE, LONGEST_LEASE = 0.3, 3600.0  # seconds
SOONEST_TIMEOUT = 5.0  # seconds without a token
_MOST_SAID = 300  # characters of a reason
_LONGEST_NAME = 300  # characters
_MEMORY = "gpu_memory_utilization"
_DOWNLOADS = DownloadConfig()
_MOST_SECONDS, _MOST_TRIES, _MOST_AGENT = 600.0, 10, 200
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_HUB_NAME = re.compile(rf"(?!.*(?:\.\.|--)){_PART}/{_PART}(?<!\.git)(?<!\.gguf)(?<![.-])")
_STAGE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ENGINES = ("vllm", "openai", "simulated")


class Consent:
    """Judges settings by what this worker's operator allows."""

    def __init__(
        self, config: WorkerConfig, *, exists: Callable[[str], bool] = os.path.exists
    ) -> None:
        self._config = config
        self._own: Mapping[str, Any] = config.vllm
        self._exists = exists
        # Whoever may write to Redis is the operator's own, and so is the job.
        self.of_others = config.server is not None
        self.declined: Mapping[str, str] = {}  # why, by the names of stages that were judged last
        allowed = map(AllowedEndpoint.parse, config.allow_endpoints)
        self._allowed = tuple(each for each in allowed if each is not None)

    @property
    def overrides(self) -> Mapping[str, Any]:
        """The engine arguments of this host, but for memory that several engines share."""
        if not self.of_others:
            return self._own
        return {name: value for name, value in self._own.items() if name != _MEMORY}

    def overrides_of(self, share: int) -> Mapping[str, Any]:
        """The engine arguments of this host for one of so many engines on one device."""
        if not self.of_others or _MEMORY not in self._own:
            return self._own
        return {**self._own, _MEMORY: self._own[_MEMORY] / share}

    def declines(self, names: Sequence[str]) -> list[str]:
        """Say which stages are declined, of those of these names, of all where none is named."""
        return [
            f"declines stage {_told([shown(name)])}: {why}"
            for name, why in self.declined.items()
            if not names or name in names
        ]

    def follow(self, settings: Broadcast) -> Broadcast:
        """Judge settings, and give them as they are followed here."""
        if not self.of_others:
            return settings
        servers = Servers(settings.openai, self._allowed, self._config.allow_models)
        judged: dict[str, list[str]] = {}
        for stage in settings.stages:
            why = [*self._objections(settings, stage, servers)]
            if stage.name in judged:
                why.append("name stands twice")
            judged[stage.name] = judged.get(stage.name, []) + why
        before, self.declined = self.declined, {n: _told(why) for n, why in judged.items() if why}
        if self.declined != before:
            for line in self.declines(self._config.stages):
                logger.warning("This worker %s", line)
        return replace(
            settings,
            stages=tuple(self._followed(settings, stage) for stage in settings.stages),
            openai=servers.allowed,
            batch_size=min(settings.batch_size, MOST_REQUESTS),
            download=_bounded(settings.download),
            lease_seconds=min(max(settings.lease_seconds, SOONEST_LEASE), LONGEST_LEASE),
            engine_timeout=max(settings.engine_timeout, SOONEST_TIMEOUT),
        )

    def _objections(self, settings: Broadcast, stage: Stage, servers: Servers) -> Iterator[str]:
        yield from _odd_names(stage)
        yield from _too_large(settings, stage)
        yield from _of_sampling(stage)
        yield from form_objections(stage.structured_outputs, settings.engine)
        match settings.engine:
            case "vllm":
                yield from self._of_model(stage)
                yield from self._of_arguments(stage)
            case "openai":
                yield from servers.objections(stage)
            case "simulated":
                yield from _of_simulation(settings)
            case _:
                yield f"engine is {shown(settings.engine)}; it may be one of {', '.join(_ENGINES)}"

    def _of_model(self, stage: Stage) -> Iterator[str]:
        """A model is named as on the hub: what lies on this host is its operator's to name."""
        if "model" in self._own:
            return
        if not _HUB_NAME.fullmatch(stage.model):
            yield f"model is {shown(stage.model)}, which is no name on the hub, as ORG/NAME"
        elif self._exists(stage.model):
            yield f"model is {shown(stage.model)}, which is a path on this host; --model names one"
        elif self._config.allow_models:
            revision = stage.engine_args.get("revision")
            if not is_allowed(stage.model, revision, self._config.allow_models):
                at = f" at revision {shown(revision)}" if revision is not None else ""
                yield f"model is {shown(stage.model)}{at}, which allow_models does not name"

    def _of_arguments(self, stage: Stage) -> Iterator[str]:
        formats = permitted.ANY_FORMATS if self._config.allow_pickle else permitted.SAFE_FORMATS
        rules = {**permitted.ARGUMENTS, "load_format": formats}
        asked = {name: v for name, v in stage.engine_args.items() if not self._counts_here(name)}
        yield from permitted.objections("vllm", asked, rules, "engine argument")

    def _counts_here(self, name: str) -> bool:
        """Whether an argument is the operator's own, so that nothing else is heard."""
        return name in self._own and name != "model"

    def _followed(self, settings: Broadcast, stage: Stage) -> Stage:
        if settings.engine != "vllm":
            return stage
        given = {n: value for n, value in stage.engine_args.items() if n not in self._own}
        given.pop("trust_remote_code", None)
        if "model" in self._own:
            given.pop("revision", None)
        if not self._config.allow_pickle and given.get("load_format") != "mistral":
            given["load_format"] = "safetensors"
        # Other runners of vLLM are for models that caption nothing, and read files of more kinds.
        return replace(stage, engine_args={**given, "runner": "generate"})


def _odd_names(stage: Stage) -> Iterator[str]:
    """Names stand in logs, in states and as columns."""
    if not (stage.model.isprintable() and len(stage.model) <= _LONGEST_NAME):
        yield f"model is {shown(stage.model)}, which no model is called"
    for what, name in (("name", stage.name), ("output_field", stage.output_field)):
        if not _STAGE_NAME.fullmatch(name):
            yield f"{what} is {shown(name)}; it may have letters, digits, dots, - and _"


def _too_large(settings: Broadcast, stage: Stage) -> Iterator[str]:
    if not stage.image:
        return
    if settings.images.max_pixels > MOST_PIXELS:
        yield f"images.max_pixels is {settings.images.max_pixels:,}; it may be {MOST_PIXELS:,}"
    if settings.max_file_size > MOST_BYTES:
        most = f"{MOST_BYTES // MIB} MiB"
        yield f"dataset.max_file_size is {settings.max_file_size // MIB:,} MiB; it may be {most}"


def _of_sampling(stage: Stage) -> Iterator[str]:
    yield from permitted.sampling("vllm.sampling", stage.sampling.extra)
    for number, check in enumerate(stage.quality):
        for rung, change in enumerate(check.retry_sampling):
            where = f"quality[{number}].retry_sampling[{rung}]"
            yield from permitted.sampling(where, change.extra)


def _of_simulation(settings: Broadcast) -> Iterator[str]:
    told = settings.simulated
    if told.tokens[1] > MOST_SIMULATED:
        yield f"simulated.tokens is up to {told.tokens[1]:,}; it may be {MOST_SIMULATED:,}"


def _bounded(download: DownloadConfig) -> DownloadConfig:
    """Bound what a job may do to other people's servers, and to our patience, from here."""
    agent = download.user_agent
    odd = agent is not None and not (agent.isascii() and agent.isprintable())
    return replace(
        download,
        at_once=min(download.at_once, _DOWNLOADS.at_once),
        per_host=min(download.per_host, _DOWNLOADS.per_host),
        seconds=min(download.seconds, _MOST_SECONDS),
        connect_seconds=min(download.connect_seconds, _MOST_SECONDS),
        idle_seconds=min(download.idle_seconds, _MOST_SECONDS),
        tries=min(download.tries, _MOST_TRIES),
        redirects=min(download.redirects, _MOST_TRIES),
        user_agent=None if odd else agent and agent[:_MOST_AGENT],
    )


def _told(why: Sequence[str]) -> str:
    """Write it on one line that a log and a terminal can show, whatever strangers have named."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in "; ".join(why))
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
