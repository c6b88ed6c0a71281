"""Engine: vLLM in this process, fed request by request (continuous batching).

Several prompts on one image share all of it: its name is its hash, by which vLLM knows that it has
prepared it, sent it to its other process and encoded it before.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import FORMS
from caption_flow.config.vllm import Stage
from caption_flow.engine.arguments import engine_arguments
from caption_flow.engine.aside import aside
from caption_flow.engine.orphans import OWNER, Children
from caption_flow.engine.port import Output, Request
from caption_flow.engine.prompts import Prompts
from caption_flow.engine.recent import Recent
from caption_flow.engine.sampling import sampling_params
from caption_flow.errors import (
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
    decodes = True

    def __init__(
        self,
        model: str,
        arguments: Mapping[str, Any],
        stages: Sequence[Stage],
        *,
        capacity: int,
        trust_remote_code: bool = False,
        share: int = 1,
    ) -> None:
        self.model = model
        self.capacity = capacity
        self.signs = 0
        self._arguments = arguments
        self._stages = stages
        self._trust_remote_code = trust_remote_code
        self._share = share  # of how many engines on one device this is one
        self._llm: Any = None
        self._prompts: Any = None
        self._sampling: Recent[bytes, Any] = Recent(SAMPLINGS)

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

    async def caption(self, request: Request) -> Output:
        """Run one request, see the port."""
        llm, prompts = self._llm, self._prompts  # later ones are another life
        try:
            output = await self._generate(llm, prompts, request)
            if output.finish_reason == "error":
                # An image that vLLM took for one that its other process has: it knows better now.
                output = await self._generate(llm, prompts, request)
        except Exception as exc:
            # Around one sample: whatever vLLM or the model's processor makes of it.
            raise _in_our_words(exc, dead=llm.errored) from exc
        if output.finish_reason in _UNFINISHED:
            raise EngineFailed(f'vLLM ended the request with "{output.finish_reason}".')
        return output

    async def stop(self) -> None:
        """End vLLM's own processes."""
        llm, self._llm, self._prompts = self._llm, None, None
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
        try:
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except Exception as exc:  # of any kind: what models, drivers and plugins raise
            raise EngineUnfit(f'vLLM cannot load the model "{self.model}": {exc}') from exc

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

    async def _generate(self, llm: Any, prompts: Prompts, request: Request) -> Output:
        stage = request.stage
        prompt = await prompts.rendered(stage, request.system, request.prompt)
        if stage.image:
            prompt = {**prompt, **_shown(request)}
        renderer = llm.renderer
        # The renderer runs the model's processor in a thread of its own; generate() would block.
        [inputs] = await renderer.render_cmpl_async([prompt], renderer.default_chat_tok_params)
        stream = llm.generate(inputs, self._params(stage), request.id)
        pieces = []
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


def _shown(request: Request) -> dict[str, Any]:
    image = request.image
    if image is None:
        raise ValueError("the stage shows images, and this request has none")
    shown: dict[str, Any] = {"multi_modal_data": {"image": image}}
    if request.sha256:
        # With its size, since limits that change shrink the same bytes to other pixels.
        name = f"{request.sha256}-{image.width}x{image.height}"
        shown["multi_modal_uuids"] = {"image": [name]}
    return shown


def _in_our_words(error: Exception, *, dead: bool) -> CaptionFlowError:
    """Tell what is wrong with the engine from what is wrong with one request, for now or ever."""
    from vllm.exceptions import VLLMClientError  # noqa: PLC0415 - slow to import
    from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415 - likewise

    if isinstance(error, EngineDeadError):
        return EngineDead("vLLM's engine has died; its own log lines say why.")
    if dead:
        return EngineDead(f"vLLM's engine has died: {error}")
    said = f"{type(error).__name__}: {error}"
    # What they say of the request they would say of it again: too long, no image it can read.
    if isinstance(error, VLLMClientError | ConfigError | ValueError | TypeError):
        return EngineRefused(said)
    return EngineFailed(said)


def _nothing() -> None:
    pass
