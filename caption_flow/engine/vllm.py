"""Engine: vLLM in this process, fed request by request (continuous batching).

The chat template is applied once per prompt, with vLLM's own renderer, since only it knows how
each model spells its images. What a request adds is the picture.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from PIL.Image import Image
from PIL.Image import new as new_image

from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.engine.arguments import engine_arguments, sampling_arguments
from caption_flow.engine.aside import aside
from caption_flow.engine.orphans import OWNER
from caption_flow.engine.port import Output, Request
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
# How often a request says that it lives. Each token would cost the event loop a wake-up.
TOKENS_PER_SIGN = 32
_TRIAL_SIDE = 64  # pixels of the blank picture that a template is rendered with


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
    ) -> None:
        self.model = model
        self.capacity = capacity
        self.signs = 0
        self._arguments = arguments
        self._stages = stages
        self._trust_remote_code = trust_remote_code
        self._llm: Any = None
        self._prompts: dict[tuple[str | None, str], dict[str, Any]] = {}
        self._sampling: dict[bytes, Any] = {}

    async def start(self) -> None:
        """Load the model, in another thread so that the process goes on answering."""
        self._llm = await aside(self._load)
        for stage in self._stages:
            await self._rehearse(stage)

    async def caption(self, request: Request) -> Output:
        """Run one request, see the port."""
        llm = self._llm  # a later one is another life
        try:
            return await self._generate(llm, request)
        except Exception as exc:
            # Around one sample: whatever vLLM or the model's processor makes of it.
            raise _in_our_words(exc, dead=llm.errored) from exc

    async def stop(self) -> None:
        """End vLLM's own processes."""
        llm, self._llm = self._llm, None
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
            self._arguments, model=self.model, trust_remote_code=self._trust_remote_code
        )
        try:
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except Exception as exc:  # of any kind: what models, drivers and plugins raise
            raise EngineUnfit(f'vLLM cannot load the model "{self.model}": {exc}') from exc

    async def _rehearse(self, stage: Stage) -> None:
        """Make ready what a stage says for every sample; a mistake there is none of theirs."""
        try:
            self._params(stage)
        except ConfigError:
            raise  # it says itself what is wrong
        except Exception as exc:  # of any kind: vLLM has several for a value it will not have
            raise EngineUnfit(f'The sampling of the stage "{stage.name}": {exc}') from exc
        try:
            for prompt in stage.prompts:
                await self._rendered(self._llm.renderer, stage, prompt)
        except Exception as exc:  # of any kind: templates are programs
            raise EngineUnfit(
                f'vLLM cannot put an image and a prompt of the stage "{stage.name}" into the '
                f'chat template of "{self.model}": {exc}'
            ) from exc

    async def _generate(self, llm: Any, request: Request) -> Output:
        prompt = await self._rendered(llm.renderer, request.stage, request.prompt)
        if request.image is not None:
            prompt = {**prompt, "multi_modal_data": {"image": request.image}}
        renderer = llm.renderer
        # The renderer runs the model's processor in a thread of its own; generate() would block.
        [inputs] = await renderer.render_cmpl_async([prompt], renderer.default_chat_tok_params)
        stream = llm.generate(inputs, self._params(request.stage), request.id)
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

    async def _rendered(self, renderer: Any, stage: Stage, prompt: str) -> dict[str, Any]:
        """Apply the model's chat template, once per prompt."""
        key = (stage.system_prompt, prompt)
        if key not in self._prompts:
            self._prompts[key] = await self._render(renderer, stage.system_prompt, prompt)
        return self._prompts[key]

    async def _render(
        self, renderer: Any, system_prompt: str | None, prompt: str
    ) -> dict[str, Any]:
        from vllm.renderers.params import ChatParams  # noqa: PLC0415 - slow to import

        messages: list[dict[str, Any]] = []
        if system_prompt:
            messages.append({"role": "system", "content": system_prompt})
        content = [
            {"type": "image_pil", "image_pil": _blank()},
            {"type": "text", "text": prompt},
        ]
        messages.append({"role": "user", "content": content})
        params = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        _, rendered = await renderer.render_messages_async(messages, params)
        return {k: v for k, v in rendered.items() if not k.startswith("multi_modal_")}

    def _params(self, stage: Stage) -> Any:
        # By what it says, since a sample may want another than its stage.
        key = msgspec.json.encode(stage.sampling)
        if key not in self._sampling:
            self._sampling[key] = _sampling_params(stage.sampling)
        # vLLM may write into what it is given.
        return self._sampling[key].clone()


def _sampling_params(sampling: Sampling) -> Any:
    from vllm import SamplingParams  # noqa: PLC0415 - slow to import
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415 - likewise

    return SamplingParams(
        **sampling_arguments(sampling),
        output_kind=RequestOutputKind.DELTA,
        stream_interval=TOKENS_PER_SIGN,
    )


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


def _blank() -> Image:
    return new_image("RGB", (_TRIAL_SIDE, _TRIAL_SIDE))
