"""Teach the trained model to answer in JSON, for trying structured outputs.

Its eyes stay as they are; what it learns is to write `{"size":"small","color":"red",…}` in place of
the caption. It learns both ways of spacing, since what forbids blanks does so in its own way.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from build import PROMPT
from msgspec import Struct
from pool import ATTRIBUTES, Pool, batch, drawn_pool
from talk import Talks
from torch.nn.functional import cross_entropy
from train import HERE, save
from transformers import AutoProcessor, Idefics3ForConditionalGeneration, Idefics3Processor

KEYS = ("size", "color", "shape", "background")
PROMPTS = (
    "Describe the image as JSON.",
    "Answer in JSON.",
    "Give size, color, shape and background of what you see.",
    PROMPT,
)
SPACINGS = ((",", ":"), (", ", ":"), (", ", ": "))
ROWS = 32  # conversations in a batch
WARM_UP = 20  # steps
VALUE = 5.0  # how much more the first letter of a value counts than what is between


class Lesson(Struct, frozen=True):
    """Rows of tokens, what is to follow each, and how much that counts."""

    tokens: torch.Tensor
    following: torch.Tensor
    weights: torch.Tensor


class Lessons:
    """Conversations that end with an answer in JSON."""

    def __init__(self, processor: Idefics3Processor, seed: int) -> None:
        self._tokenizer = processor.tokenizer
        self._dice = random.Random(seed)
        talks = Talks(processor, self._dice, bank=1)
        self._openings = [talks.opening(_asked(prompt)) for prompt in PROMPTS]

    def lesson(self, labels: Sequence[Sequence[int]]) -> Lesson:
        """Put an opening before the answer about each image."""
        rows = [self._row(row) for row in labels]
        length = max(len(opening) + len(answer) for opening, answer, _ in rows)
        tokens = np.full((len(rows), length), self._tokenizer.pad_token_id)
        following = np.zeros((len(rows), length), dtype=np.int64)
        weights = np.zeros((len(rows), length), dtype=np.float32)
        for number, (opening, answer, counts) in enumerate(rows):
            start, end = len(opening), len(opening) + len(answer)
            tokens[number, :end] = [*opening, *answer]
            following[number, start - 1 : end - 1] = answer
            weights[number, start - 1 : end - 1] = counts
        return Lesson(*(torch.from_numpy(each) for each in (tokens, following, weights)))

    def _row(self, labels: Sequence[int]) -> tuple[list[int], list[int], list[float]]:
        values = [names[label] for names, label in zip(ATTRIBUTES, labels, strict=True)]
        comma, colon = self._dice.choice(SPACINGS)
        answer: list[int] = []
        counts: list[float] = []
        for number, (key, value) in enumerate(zip(KEYS, values, strict=True)):
            for text, count in (
                (f"{comma if number else '{'}{json.dumps(key)}{colon}" + '"', 1.0),
                (f'{value}"' + ("}" if number == len(KEYS) - 1 else ""), VALUE),
            ):
                tokens = self._tokenizer(text, add_special_tokens=False).input_ids
                answer += tokens
                counts += [count, *[1.0] * (len(tokens) - 1)]
        return (
            self._dice.choice(self._openings),
            [*answer, self._tokenizer.eos_token_id],
            [*counts, 1.0],
        )


def _asked(prompt: str) -> list[dict[str, object]]:
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    return [{"role": "user", "content": content}]


def teach(
    model: Idefics3ForConditionalGeneration,
    lessons: Lessons,
    pool: Pool,
    *,
    steps: int,
    rate: float,
    seed: int,
) -> None:
    """Let the text model learn from so many batches."""
    dice = np.random.default_rng(seed)
    parts, image = model.model, model.config.image_token_id
    learning = list(parts.text_model.parameters())
    optimizer = torch.optim.AdamW(learning, betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    for step in range(steps):
        fall = 0.5 + 0.5 * np.cos(np.pi * step / steps)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / WARM_UP) * fall
        pixels, labels = batch(pool, ROWS, dice)
        lesson = lessons.lesson(labels.tolist())
        with torch.no_grad():
            seen = parts.connector(parts.vision_model(pixels).last_hidden_state)
        shown = (lesson.tokens == image).unsqueeze(-1)
        embedded = parts.text_model.embed_tokens(lesson.tokens).masked_scatter(shown, seen)
        read = parts.text_model(inputs_embeds=embedded, use_cache=False)[0]
        words = model.lm_head(read).float().flatten(0, 1)
        losses = cross_entropy(words, lesson.following.flatten(), reduction="none")
        loss = (losses * lesson.weights.flatten()).sum() / lesson.weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0:
            print(f"{time.monotonic() - began:6.0f} s, step {step}: {loss.item():.4f}", flush=True)


def main() -> None:
    """Read the command line, teach, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, default=HERE / "model", help="what to go on from")
    parser.add_argument("--out", type=Path, default=HERE / "json-model")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pool", type=int, default=10_000, help="images to draw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(".cache/shapes"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    processor = AutoProcessor.from_pretrained(given.start)
    model = Idefics3ForConditionalGeneration.from_pretrained(given.start).to(torch.float32)
    pool = drawn_pool(given.pool, given.seed, given.cache, processes=given.threads)
    lessons = Lessons(processor, given.seed)
    teach(model, lessons, pool, steps=given.steps, rate=given.rate, seed=given.seed)
    save(model, processor, given.out)
    for path in given.start.iterdir():  # all but the weights stays as it was
        if path.suffix != ".safetensors":
            shutil.copyfile(path, given.out / path.name)
    print(f"Saved {given.out}.")


if __name__ == "__main__":
    main()
