"""Train the shapes model: first to see, then to say what it sees.

The vision tower learns from small heads that name size, colour, shape and background and are
thrown away after; then the whole learns to write the caption. What is saved is what vLLM loads.
"""

import argparse
import copy
import io
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from build import PROMPT, WIDTH, build_model, build_processor
from draw import encode, plan, sentence
from PIL import Image
from pool import ATTRIBUTES, Pool, batch, check_against_processor, drawn_pool
from talk import Talks
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoProcessor, Idefics3ForConditionalGeneration, Idefics3Processor

HERE = Path(__file__).parent
WARM_UP = 0.02  # of the run
LOOKS = 96  # images in a batch that is only looked at
ROWS = {64: 48, 224: 16}  # conversations in a batch, by their length in tokens


class Student(nn.Module):
    """The model and the heads that help its eyes to learn."""

    def __init__(self, model: Idefics3ForConditionalGeneration, talks: Talks) -> None:
        super().__init__()
        self.model = model
        self.talks = talks
        self.heads = nn.Linear(2 * WIDTH, sum(len(names) for names in ATTRIBUTES))

    def see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn pixels into image tokens, and into a guess at each attribute."""
        parts = self.model.model
        tokens = parts.connector(parts.vision_model(pixels).last_hidden_state)
        return tokens, self.heads(torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1))

    def say(self, embedded: torch.Tensor) -> torch.Tensor:
        """Read embedded conversations."""
        return self.model.model.text_model(inputs_embeds=embedded, use_cache=False)[0]


class Trainer:
    """One run: the student, its pool, and the clock."""

    def __init__(
        self,
        student: Student,
        pool: Pool,
        *,
        steps: int,
        see: float,
        rate: float,
        seed: int,
    ) -> None:
        self.student = student
        self.pool = pool
        self.steps = steps
        self.taken = 0
        self.sighted = see  # share of the run after which it learns to speak
        self.rate = rate
        self.dice = np.random.default_rng(seed)
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), weight_decay=0.03)

    def _groups(self) -> list[dict[str, object]]:
        parts = self.student.model.model
        eyes = [parts.vision_model, parts.connector, self.student.heads]
        return [
            {"params": [each for part in eyes for each in part.parameters()], "from": 0.0},
            {"params": list(parts.text_model.parameters()), "from": self.sighted},
        ]

    def run(self, keep: Callable[[], None]) -> None:
        """Step until the run is over, telling and keeping now and then how it goes."""
        began = told = kept = time.monotonic()
        while self.taken < self.steps:
            losses = self.step(self.taken / self.steps)
            self.taken += 1
            now = time.monotonic()
            if now - told > 15:
                told = now
                print(f"{now - began:6.0f} s, step {self.taken}: {losses}", flush=True)
            if now - kept > 120:
                kept = now
                keep()

    def state(self) -> dict[str, Any]:
        """All that is needed to go on later."""
        return {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "taken": self.taken,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where another run was kept."""
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.taken = state["taken"]

    def step(self, done: float) -> str:
        """Learn from one batch; `done` is the share of the run behind us."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * _schedule(done, group["from"])
        losses = self.look() if done < self.sighted else self.look_and_talk()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return ", ".join(f"{name} {loss.item():.4f}" for name, loss in losses.items())

    def look(self) -> dict[str, torch.Tensor]:
        """Learn to see alone."""
        pixels, labels = batch(self.pool, LOOKS, self.dice)
        _, guesses = self.student.see(pixels)
        return _attribute_losses(guesses, labels)

    def look_and_talk(self) -> dict[str, torch.Tensor]:
        """Learn to see and to say it."""
        length = 64 if self.dice.random() < 0.75 else 224
        pixels, labels = batch(self.pool, ROWS[length], self.dice)
        talk = self.student.talks.batch(_captions(labels), length, self.dice)
        text = self.student.model.model.text_model
        seen, guesses = self.student.see(pixels)
        embedded = text.embed_tokens(talk.tokens)
        image = (talk.tokens == self.student.model.config.image_token_id).unsqueeze(-1)
        read = self.student.say(embedded.masked_scatter(image, seen))
        said = read.gather(1, talk.positions.unsqueeze(-1).expand(-1, -1, WIDTH))
        words = self.student.model.lm_head(said)
        spoken = cross_entropy(words.float().flatten(0, 1), talk.answers.flatten())
        return {"caption": 4 * spoken, **_attribute_losses(guesses, labels)}


def _schedule(done: float, start: float) -> float:
    """Warm up from `start`, then fall along a cosine to nothing at the end of the run."""
    if done < start:
        return 0.0
    warm = min(1.0, (done - start) / WARM_UP + 0.01)
    return warm * (0.5 + 0.5 * math.cos(math.pi * (done - start) / (1 - start)))


def _attribute_losses(guesses: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    parts = guesses.float().split([len(names) for names in ATTRIBUTES], dim=1)
    names = ("size", "colour", "shape", "background")
    return {
        name: cross_entropy(part, label)
        for name, part, label in zip(names, parts, labels.T, strict=True)
    }


def _captions(labels: torch.Tensor) -> list[str]:
    return [
        sentence(*(names[label] for names, label in zip(ATTRIBUTES, row, strict=True)))
        for row in labels.tolist()
    ]


def save(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, out: Path) -> None:
    """Write what vLLM and transformers load, in bfloat16."""
    kept = copy.deepcopy(model).to(torch.bfloat16)
    kept.save_pretrained(out)
    processor.save_pretrained(out)
    _suit_older_transformers(out)


def _suit_older_transformers(out: Path) -> None:
    """Add what transformers 4 looks for, and 5 understands too."""
    tokenizer = json.loads((out / "tokenizer_config.json").read_text())
    tokenizer.pop("backend", None)
    special = tokenizer.pop("extra_special_tokens", None)
    tokenizer |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": special or tokenizer["additional_special_tokens"],
        "model_input_names": ["input_ids", "attention_mask"],
    }
    images = json.loads((out / "processor_config.json").read_text())["image_processor"]
    images["processor_class"] = "Idefics3Processor"
    for name, content in (("tokenizer", tokenizer), ("preprocessor", images)):
        (out / f"{name}_config.json").write_text(json.dumps(content, indent=2) + "\n")


def accuracy(folder: Path, *, count: int, seed: int, prompt: str = PROMPT) -> float:
    """Caption newly drawn images with the saved model; return the share that is exact."""
    processor = AutoProcessor.from_pretrained(folder)
    model = Idefics3ForConditionalGeneration.from_pretrained(folder).eval()
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    exact = 0
    for start in range(0, count, 100):
        drawings = [plan(seed, number, None) for number in range(start, min(start + 100, count))]
        images = [[Image.open(io.BytesIO(encode(drawing)))] for drawing in drawings]
        inputs = processor(text=[text] * len(images), images=images, return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        with torch.inference_mode():
            said = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
        texts = processor.batch_decode(said, skip_special_tokens=True)
        exact += sum(d.caption == t for d, t in zip(drawings, texts, strict=True))
    return exact / count


def main() -> None:
    """Read the command line, train, save, and say how good the model is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3600, help="0 saves it untrained")
    parser.add_argument("--see", type=float, default=0.65, help="share before it learns to speak")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pool", type=int, default=40_000, help="images to draw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--cache", type=Path, default=Path(".cache/shapes"))
    parser.add_argument("--resume", action="store_true", help="go on from the state in --cache")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    processor = build_processor()
    model = build_model(processor.tokenizer)
    if given.steps:
        _train(model, processor, given)
    save(model, processor, given.out)
    share = accuracy(given.out, count=500, seed=given.seed + 1000)
    print(f"Saved {given.out}; {share:.1%} of 500 new captions are exact.")


def _train(
    model: Idefics3ForConditionalGeneration,
    processor: Idefics3Processor,
    given: argparse.Namespace,
) -> None:
    check_against_processor(processor.image_processor, given.seed, 50)
    pool = drawn_pool(given.pool, given.seed, given.cache, processes=given.threads)
    student = Student(model, Talks(processor, random.Random(given.seed)))
    trainer = Trainer(
        student, pool, steps=given.steps, see=given.see, rate=given.rate, seed=given.seed
    )
    kept = given.cache / "state.pt"
    if given.resume:
        trainer.resume(torch.load(kept))

    def keep() -> None:
        torch.save(trainer.state(), kept)
        save(model, processor, given.out)

    trainer.run(keep)


if __name__ == "__main__":
    main()
