"""Prompts in a chat template: what strangers write in columns stays text, and no more is kept."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from caption_flow.config.quality import Check
from caption_flow.config.vllm import Stage
from caption_flow.engine.prompts import MOST, Prompts

MARKS = {"<image>": 1, "<|end|>": 2, "<|User|>": 3}  # the last is not said to be special
STAGE = Stage("caption", "model", ("About {title}.",))


class Token(str):
    """Stands for a token that was added to a vocabulary."""

    special = True


class Tokenizer:
    """One number a character, but for marks, and for one in a spelling of its own."""

    max_chars_per_token = 10

    def __init__(self) -> None:
        self.added_tokens_decoder = {number: Token(text) for text, number in MARKS.items()}
        self.added_tokens_decoder[3].special = False  # type: ignore[misc]
        self.added_tokens_decoder[4] = Token("plainly")
        self.added_tokens_decoder[4].special = False  # type: ignore[misc]

    def encode(self, text: str) -> list[int]:
        parts = re.split(f"({'|'.join(map(re.escape, MARKS))})", text.replace("[image]", "<image>"))
        return [n for part in parts for n in ([MARKS[part]] if part in MARKS else map(ord, part))]


class Rendering(Prompts):
    """Prompts in a template of our own, written down as they are rendered."""

    def __init__(self) -> None:
        renderer = SimpleNamespace(tokenizer=Tokenizer(), mm_processor=None)
        config = SimpleNamespace(max_model_len=100)
        super().__init__(SimpleNamespace(renderer=renderer, model_config=config))
        self.texts: list[str] = []

    async def _render(self, stage: Stage, system: str | None, prompt: str) -> dict[str, Any]:
        said = f"{system or ''}{prompt}"
        self.texts.append(said)
        text = f"<image>{said}<|end|>" if stage.image else f"{said}<|end|>"
        return {"prompt_token_ids": Tokenizer().encode(text)}


async def test_a_prompt_is_rendered_once():
    prompts = Rendering()
    first, second = [await prompts.rendered(STAGE, None, STAGE.prompts[0]) for _ in range(2)]

    assert first == second
    assert prompts.texts == list(STAGE.prompts)


async def test_prompts_of_single_samples_are_forgotten_and_those_of_the_stage_are_not():
    prompts = Rendering()
    for number in range(2 * MOST):
        await prompts.rendered(STAGE, None, f"About {number}.")
    await prompts.rendered(STAGE, None, "About 0.")

    assert prompts.texts.count("About 0.") == 2
    assert prompts.texts.count(STAGE.prompts[0]) == 1


@pytest.mark.parametrize("mark", MARKS)
async def test_a_mark_that_a_column_writes_is_broken_up(mark: str):
    prompts = Rendering()
    found = await prompts.rendered(STAGE, None, f"About {mark}.")

    assert prompts.texts[0] == f"About {mark[0]} {mark[1:]}."
    assert [n for n in found["prompt_token_ids"] if n in MARKS.values()] == [1, 2]


async def test_a_mark_that_a_column_writes_into_the_system_prompt_is_broken_up():
    prompts = Rendering()
    stage = Stage("caption", "model", ("Describe.",), system_prompt="<|User|> {title}")
    await prompts.rendered(stage, "<|User|> <|end|>", "Describe.")

    assert prompts.texts[0] == "<|User|> < |end|>Describe."


async def test_an_added_word_is_no_mark():
    prompts = Rendering()
    await prompts.rendered(STAGE, None, "About plainly.")

    assert prompts.texts[0] == "About plainly."


@pytest.mark.parametrize(
    "stage",
    [
        Stage("a", "m", ("<|User|> {title}",)),
        Stage("b", "m", ("{title}",), quality=(Check("empty", retry_prompt="<|User|> again"),)),
    ],
)
async def test_what_the_settings_write_stays_whole(stage: Stage):
    prompts = Rendering()
    await prompts.rendered(stage, None, "<|User|> it <|end|>")

    assert prompts.texts[0] == "<|User|> it < |end|>"


async def test_a_mark_in_another_spelling_is_refused():
    with pytest.raises(ValueError, match="the prompt brings in <image>"):
        await Rendering().rendered(STAGE, None, "About [image].")
    with pytest.raises(ValueError, match="the prompt brings in <image>"):
        await Rendering().rendered(STAGE, "About [image].", STAGE.prompts[0])


async def test_a_prompt_that_no_context_holds_is_refused_unread():
    prompts = Rendering()

    with pytest.raises(ValueError, match="a prompt of 1,001 characters is too long"):
        await prompts.rendered(STAGE, None, "x" * 1001)
    assert prompts.texts == []
