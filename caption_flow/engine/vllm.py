"""Engine: vLLM in this process, fed request by request (continuous batching).

Several prompts on one image share all of it: its name is its hash, by which vLLM knows that it has
prepared it, sent it to its other process and encoded it before.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from caption_flow.config.sampling import Sampling
from caption_flow.config.schema import Preparing
from caption_flow.config.structured import FORMS
from caption_flow.config.vllm import Stage
from caption_flow.engine.arguments import engine_arguments
from caption_flow.engine.aside import aside
from caption_flow.engine.cache import CacheUse, CacheWatch
from caption_flow.engine.orphans import OWNER, Children
from caption_flow.engine.port import Output, Request
from caption_flow.engine.preparing.cores import spare
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.engine.prompts import Prompts, Rendered
from caption_flow.engine.recent import Recent
from caption_flow.engine.sampling import sampling_params
from caption_flow.engine.showing import shown
from caption_flow.engine.troubles import is_refusal, words
from caption_flow.errors import (
    BadImage,
    CaptionFlowError,
    ConfigError,
    EngineDead,
    EngineFailed,
    EngineRefused,
    EngineUnfit,
)

logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0  # for vLLM's own processes to end before it kills them
SAMPLINGS = 64  # ways of sampling that are remembered
_UNFINISHED = frozenset({"abort", "error"})  # reasons to finish that are none of the model's


class VllmEngine:
    """One AsyncLLM."""

    name = "vllm"

    def __init__(
        self,
        model: str,
        arguments: Mapping[str, Any],
        stages: Sequence[Stage],
        *,
        capacity: int,
        trust_remote_code: bool = False,
        share: int = 1,
        preparers: Preparing = 0,
        watched: bool = False,
    ) -> None:
        """`preparers`: processes that decode and run the model's processor; 0: this one does.

        `watched`: it tells how its cache is used.
        """
        self.model = model
        # vLLM works on so many in a step, and has a queue of its own for others.
        self.capacity = min(capacity, int(arguments.get("max_num_seqs") or capacity))
        self.holds = capacity
        self.decodes = True  # until it is known that processes do
        self.signs = 0
        self._arguments = arguments
        self._stages = stages
        self._trust_remote_code = trust_remote_code
        self._share = share  # of how many engines on one device this is one
        self._wanted = preparers
        self._watch = CacheWatch() if watched else None
        self._pool: Preparers | None = None
        self._llm: Any = None
        self._prompts: Any = None
        self._sampling: Recent[bytes, Any] = Recent(SAMPLINGS)

    @property
    def preparers(self) -> int:
        """Processes that prepare images now."""
        return 0 if self._pool is None else self._pool.count

    async def start(self) -> None:
        """Load the model, in another thread so that the process goes on answering."""
        children = Children()
        try:
            self._llm = await aside(self._load)
        except asyncio.CancelledError:
            children.end()  # who loads is left behind; what it has started must not be
            raise
        self._prompts = Prompts(self._llm)
        for stage in self._stages:
            await self.rehearse(stage)
        self._pool = self._new_pool(self._llm)
        self.decodes = self._pool is None
        await self._begin_to_prepare()

    async def caption(self, request: Request) -> Output:
        """Run one request, see the port."""
        llm, prompts, pool = self._llm, self._prompts, self._pool  # later ones are another life
        try:
            output = await self._generate(llm, prompts, pool, request)
            if output.finish_reason == "error":
                # An image that vLLM took for one that its other process has: it knows better now.
                output = await self._generate(llm, prompts, pool, request)
        except (BadImage, EngineDead, EngineRefused, EngineFailed):
            raise  # said where the image was prepared
        except Exception as exc:
            # Around one sample: whatever vLLM or the model's processor makes of it.
            raise _in_our_words(exc, dead=llm.errored) from exc
        if output.finish_reason in _UNFINISHED:
            raise EngineFailed(f'vLLM ended the request with "{output.finish_reason}".')
        return output

    def cache_use(self) -> CacheUse | None:
        """Say how its cache was used since the last time; None where it is not watched."""
        return None if self._watch is None else self._watch.take()

    async def stop(self) -> None:
        """End vLLM's own processes."""
        llm, self._llm, self._prompts = self._llm, None, None
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
        if llm is not None:
            try:
                await aside(partial(llm.shutdown, STOP_SECONDS))
            except Exception as exc:  # of any kind, and there is nothing left to do about it
                logger.warning("vLLM did not end well: %s", exc)
            # Its finalizer would call it again, when the interpreter may be half gone.
            llm.shutdown = _nothing

    def _load(self) -> Any:
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import
            from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 - likewise
        except ImportError as exc:
            raise ConfigError(
                f"vLLM cannot be imported ({exc}). Install it with "
                '"pip install caption-flow[vllm]", or caption-flow[cpu] where there is no GPU.'
            ) from exc
        os.environ[OWNER] = str(os.getpid())
        arguments = engine_arguments(
            self._arguments,
            self._stages,
            model=self.model,
            trust_remote_code=self._trust_remote_code,
            share=self._share,
        )
        for stage in self._stages:
            with _in_sampling_of(stage):
                self._all_params(stage)  # before the model, which takes its time to load
        watch: Any = self._watch
        watches = None if watch is None else [lambda *_, **__: watch]
        try:
            llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), stat_loggers=watches)
        except Exception as exc:  # of any kind: what models, drivers and plugins raise
            raise EngineUnfit(f'vLLM cannot load the model "{self.model}": {exc}') from exc
        if self._watch is not None:
            _hush(llm)
        return llm

    async def rehearse(self, stage: Stage) -> None:
        """Make ready what a stage says for every sample; a mistake there is none of theirs."""
        if stage.image and self._llm.renderer.mm_processor is None:
            raise EngineUnfit(
                f'The stage "{stage.name}" shows its images to "{self.model}", which takes none '
                'here. Give the stage a model that does, or say "image: false".'
            )
        config, tokenizer = self._llm.vllm_config, self._llm.renderer.tokenizer
        with _in_sampling_of(stage):
            for params in self._all_params(stage):
                params.verify(config.model_config, config.speculative_config, None, tokenizer)
        try:
            for prompt in stage.prompts:
                await self._prompts.rendered(stage, stage.system_prompt, prompt)
        except Exception as exc:  # of any kind: templates are programs
            what = "an image and a prompt" if stage.image else "a prompt"
            raise EngineUnfit(
                f'vLLM cannot put {what} of the stage "{stage.name}" into the chat template of '
                f'"{self.model}": {exc}'
            ) from exc
        if stage.structured_outputs is not None:
            await self._try_form(stage)

    def _all_params(self, stage: Stage) -> list[Any]:
        """Make the parameters of each way of sampling that a stage has."""
        rungs = [rung for check in stage.quality for rung in check.retry_sampling]
        ways = (stage.sampling, *map(stage.sampling.changed, rungs))
        return [self._params(replace(stage, sampling=w, structured_outputs=None)) for w in ways]

    async def _try_form(self, stage: Stage) -> None:
        """Let the model say a word in the form that its answers must have."""
        trial = replace(stage, image=False, sampling=Sampling(max_tokens=1))
        try:
            await self.caption(Request(f"trial of {stage.name}", "", trial, stage.prompts[0]))
        except CaptionFlowError as exc:
            given = [f for f in FORMS if getattr(stage.structured_outputs, f) is not None]
            raise EngineUnfit(
                f'The stage "{stage.name}": structured_outputs.{given[0]} is not what vLLM takes: '
                f"{' '.join(str(exc).split())}"
            ) from exc

    async def _generate(
        self, llm: Any, prompts: Prompts, pool: Preparers | None, request: Request
    ) -> Output:
        stage = request.stage
        prompt = await prompts.rendered(stage, request.system, request.prompt)
        inputs = await self._inputs(llm, pool, prompt, request)
        stream = llm.generate(inputs, self._params(stage), request.id)
        pieces = []
        with pool.load.one("answered") if pool else nullcontext():
            async for output in stream:
                self.signs += 1
                pieces.append(output)
        answers = [piece.outputs[0] for piece in pieces]
        return Output(
            text="".join(answer.text for answer in answers).strip(),
            finish_reason=answers[-1].finish_reason or "",
            prompt_tokens=len(pieces[-1].prompt_token_ids or ()),
            output_tokens=sum(len(answer.token_ids) for answer in answers),
        )

    def _new_pool(self, llm: Any) -> Preparers | None:
        """Make what prepares images elsewhere; none where a cache here must see them all."""
        images = llm.vllm_config.model_config.multimodal_config
        if self._wanted == 0 or images is None:
            return None
        if images.mm_processor_cache_gb > 0:
            logger.info(
                "No processes prepare images (preparers: %s): vLLM keeps what it has prepared in "
                "this one, for several prompts on one image or as mm_processor_cache_gb says",
                self._wanted,
            )
            return None
        return Preparers(
            llm.vllm_config,
            self._wanted,
            slots=self.capacity,
            most=spare(self._share),
            holds=self.holds,
        )

    async def _begin_to_prepare(self) -> None:
        """Start a process that prepares, if images will come; EngineUnfit where none starts."""
        if self._pool is not None and any(stage.image for stage in self._stages):
            try:
                await self._pool.begin()
            except EngineDead as exc:
                raise EngineUnfit(str(exc)) from exc

    async def _inputs(
        self, llm: Any, pool: Preparers | None, prompt: Rendered, request: Request
    ) -> Any:
        """Let the model's processor prepare a request."""
        if request.stage.image:
            if pool is not None:
                return await pool.prepare(prompt, request)
            if request.image is None:
                raise ValueError("the stage shows images, and this request has none")
            prompt = {**prompt, **shown(request.image, request.sha256)}
        renderer = llm.renderer
        # The renderer runs the model's processor in a thread of its own; generate() would block.
        [inputs] = await renderer.render_cmpl_async([prompt], renderer.default_chat_tok_params)
        return inputs

    def _params(self, stage: Stage) -> Any:
        # By what it says, since a sample may want another than its stage.
        key = msgspec.json.encode((stage.sampling, stage.structured_outputs))
        made = self._sampling.get(key)
        if made is None:
            made = sampling_params(stage)
            self._sampling.put(key, made)
        # vLLM may write into what it is given.
        return made.clone()


@contextmanager
def _in_sampling_of(stage: Stage) -> Iterator[None]:
    """Tell where it is wrong."""
    try:
        yield
    except ConfigError:
        raise  # it says itself what is wrong
    except Exception as exc:  # of any kind: vLLM has several for a value it will not have
        raise EngineUnfit(f'The sampling of the stage "{stage.name}": {exc}') from exc


def _in_our_words(error: Exception, *, dead: bool) -> CaptionFlowError:
    """Tell what is wrong with the engine from what is wrong with one request, for now or ever."""
    from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415 - slow to import

    if isinstance(error, EngineDeadError):
        return EngineDead("vLLM's engine has died; its own log lines say why.")
    if dead:
        return EngineDead(f"vLLM's engine has died: {error}")
    return EngineRefused(words(error)) if is_refusal(error) else EngineFailed(words(error))


def _hush(llm: Any) -> None:
    """Leave out vLLM's own metrics, which come with any watch, and cost each request some time."""
    from vllm.v1.metrics.loggers import PrometheusStatLogger  # noqa: PLC0415 - slow to import

    told = llm.logger_manager.stat_loggers
    told[:] = [one for one in told if not isinstance(one, PrometheusStatLogger)]


def _nothing() -> None:
    pass
