"""Engine: prompts in the chat template of a model, as vLLM takes them.

The template is applied with vLLM's own renderer, since only it knows how each model spells its
images. That costs 0.3 ms of a thread, most of it for tokens that are wanted anyway; the picture is
what costs. So a prompt that comes again is remembered for a while, and one that names columns of
its sample is simply rendered.

Columns are written by strangers. The tokens with which a template tells who speaks, and where an
image stands, are broken up in a prompt unless the stage's own words have them.
"""

import re
import sys
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any

from PIL.Image import new as new_image

from caption_flow.config.vllm import Stage
from caption_flow.engine.recent import Recent

MOST = 256  # rendered prompts that are remembered
_TRIAL = new_image("RGB", (64, 64))  # stands for the sample's own

Rendered = dict[str, Any]


class Prompts:
    """The prompts of one engine."""

    def __init__(self, llm: Any) -> None:
        self._renderer = llm.renderer
        self._marks = _marks(llm)
        longest_first = sorted(self._marks, key=len, reverse=True)
        longest = getattr(self._renderer.tokenizer, "max_chars_per_token", 0)  # 0: it does not say
        self._most = llm.model_config.max_model_len * longest or sys.maxsize  # characters
        self._any = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._rendered: Recent[tuple[Hashable, ...], Rendered] = Recent(MOST)

    async def rendered(self, stage: Stage, system: str | None, prompt: str) -> Rendered:
        """Apply the template; ValueError where a prompt breaks out of its place."""
        key = (stage.prompts, system, prompt, stage.image)
        if found := self._rendered.get(key):
            return found
        if (length := len(system or "") + len(prompt)) > self._most:
            # No need to look for its tokens, which takes seconds for millions of characters.
            raise ValueError(f"a prompt of {length:,} characters is too long for the model")
        own = {mark for text in _words(stage) for mark in self._any.findall(text)}
        safe_system, safe_prompt = (
            text and self._any.sub(lambda m: _broken(m[0], own), text) for text in (system, prompt)
        )
        made = await self._render(stage, safe_system, safe_prompt or "")
        if prompt not in stage.prompts or system != stage.system_prompt:
            plain = await self.rendered(stage, stage.system_prompt, stage.prompts[0])
            self._check(made, plain, own)
        self._rendered.put(key, made)
        return made

    async def _render(self, stage: Stage, system: str | None, prompt: str) -> Rendered:
        from vllm.renderers.params import ChatParams  # noqa: PLC0415 - slow to import

        content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
        if stage.image:  # first, so that all prompts on it begin alike
            content.insert(0, {"type": "image_pil", "image_pil": _TRIAL})
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        params = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        _, rendered = await self._renderer.render_messages_async(messages, params)
        return {k: v for k, v in rendered.items() if not k.startswith("multi_modal_")}

    def _check(self, made: Rendered, plain: Rendered, own: set[str]) -> None:
        """Refuse a prompt that has brought a mark in all the same, as by another spelling."""
        there: Counter[int] = Counter(made.get("prompt_token_ids", ()))
        usual: Counter[int] = Counter(plain.get("prompt_token_ids", ()))
        for mark, token in self._marks.items():
            if mark not in own and token is not None and there[token] > usual[token]:
                raise ValueError(f"the prompt brings in {mark}, a token of the model's own")


def _broken(mark: str, own: set[str]) -> str:
    return mark if mark in own else f"{mark[0]} {mark[1:]}"


def _words(stage: Stage) -> Iterator[str]:
    """What the settings say, and no sample."""
    yield stage.system_prompt or ""
    yield from stage.prompts
    yield from (check.retry_prompt for check in stage.quality if check.retry_prompt)


def _marks(llm: Any) -> dict[str, int | None]:
    """Find the texts that mean more to this model than what they say, and their tokens."""
    added = getattr(llm.renderer.tokenizer, "added_tokens_decoder", {})
    tokens = {str(token): number for number, token in added.items()}
    marks: dict[str, int | None] = {
        text: number for text, number in tokens.items() if added[number].special or _framed(text)
    }
    processor = llm.renderer.mm_processor
    if processor is not None and "image" in processor.info.supported_mm_limits:
        marks.setdefault(_image_mark(llm.model_config), None)
    return {mark: token for mark, token in marks.items() if len(mark) > 1}


def _framed(text: str) -> bool:
    """Tell a mark from an added word: some models do not say that theirs are special."""
    return not any(end.isalnum() or end.isspace() for end in (text[0], text[-1]))


def _image_mark(model_config: Any) -> str:
    """Return what stands for an image in the text of a prompt, if not a token of its own."""
    from vllm.model_executor.model_loader import get_model_cls  # noqa: PLC0415 - slow to import

    model: Any = get_model_cls(model_config)
    return model.get_placeholder_str("image", 1) or ""
