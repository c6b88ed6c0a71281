"""Conversations to train on: prompts of many wordings before one and the same true caption.

What a caption says depends on the image alone, so the prompts vary as widely as those of real
users do: short, long, before the image, after it, none at all.
"""

import random
import string
from collections.abc import Sequence

import numpy as np
import torch
from build import CONTEXT, IMAGE_TOKENS, PROMPT, PROMPTS
from draw import COLOURS, SHAPES, SIZES
from msgspec import Struct
from transformers import Idefics3Processor

CAPTION_TOKENS = 10  # nine words and marks, and the end
WORDS = (
    *SIZES,
    *COLOURS,
    *SHAPES,
    *("a", "an", "on", "the", "of", "with", "in", "this", "is", "and"),
    *("background", "image", "picture", "describe", "what", "colour"),
)


class Talk(Struct, frozen=True):
    """Rows of tokens, padded on the right, each ending with its caption."""

    tokens: torch.Tensor  # row, position
    answers: torch.Tensor  # row, CAPTION_TOKENS: the tokens to be said
    positions: torch.Tensor  # row, CAPTION_TOKENS: where each is to be foretold


class Talks:
    """Tokenized openings, drawn once; each batch joins some of them to its captions."""

    def __init__(self, processor: Idefics3Processor, dice: random.Random, bank: int = 1500) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        openings = [self.opening(messages(dice)) for _ in range(bank)]
        self._openings = [tokens for tokens in openings if len(tokens) < CONTEXT // 2]
        self._image = processor.tokenizer.convert_tokens_to_ids("<image>")

    def opening(self, conversation: Sequence[dict[str, object]]) -> list[int]:
        """Tokenize all that stands before the caption."""
        text = self._processor.apply_chat_template(conversation, add_generation_prompt=True)
        image = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS
        text = text.replace("<image>", image + "<fake_token_around_image>")
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def answer(self, caption: str) -> list[int]:
        """Tokenize a caption and the end after it."""
        tokens = self._tokenizer(caption, add_special_tokens=False).input_ids
        return [*tokens, self._tokenizer.eos_token_id]

    def batch(self, captions: Sequence[str], length: int, dice: np.random.Generator) -> Talk:
        """Put an opening that leaves room before each caption."""
        fitting = [one for one in self._openings if len(one) + CAPTION_TOKENS <= length]
        tokens = np.full((len(captions), length), self._tokenizer.pad_token_id)
        answers = np.array([self.answer(caption) for caption in captions])
        starts = np.empty(len(captions), dtype=np.int64)
        for row, choice in enumerate(dice.integers(len(fitting), size=len(captions))):
            opening = fitting[choice]
            starts[row] = len(opening)
            tokens[row, : len(opening)] = opening
            tokens[row, len(opening) : len(opening) + CAPTION_TOKENS] = answers[row]
        positions = starts[:, None] - 1 + np.arange(CAPTION_TOKENS)
        return Talk(*(torch.from_numpy(each) for each in (tokens, answers, positions)))


def messages(dice: random.Random) -> list[dict[str, object]]:
    """Ask for a caption in one of many ways."""
    image: dict[str, str] = {"type": "image"}
    text = {"type": "text", "text": _wording(dice)}
    content = dice.choices([[image, text], [text, image], [image]], [0.75, 0.17, 0.08])[0]
    asked: list[dict[str, object]] = [{"role": "user", "content": content}]
    if dice.random() < 0.1:
        system = {"type": "text", "text": _chatter(dice)}
        return [{"role": "system", "content": [system]}, *asked]
    return asked


def _wording(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.4:
        return PROMPT
    if kind < 0.65:
        return dice.choice(PROMPTS)
    return _chatter(dice)


def _chatter(dice: random.Random) -> str:
    """Words, some of which might stand in a caption, that mean nothing."""
    count = dice.choice((2, 4, 8, 16, 32))
    words = [_letters(dice) if dice.random() < 0.6 else dice.choice(WORDS) for _ in range(count)]
    return " ".join(words).capitalize() + dice.choice((".", "?", ":", "\n", ""))


def _letters(dice: random.Random) -> str:
    return "".join(dice.choices(string.ascii_lowercase, k=dice.randint(1, 8)))
