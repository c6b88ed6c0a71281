"""Bench: vLLM fed by others: from memory, batch by batch, or from a webdataset. See `lengths`.

python -m tests.bench.lengths_engine bare|barrier|webdataset FOLDER_OR_TAR
"""

import asyncio
import io
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import webdataset
from PIL import Image
from transformers import AutoProcessor
from vllm import LLM, SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from tests.bench.engine import ARGUMENTS, MODEL, PROMPT, REQUESTS
from tests.bench.lengths import WARM, images_in, length_of
from tests.bench.tree import Tree

OWN: dict[str, Any] = {
    "model": str(MODEL),
    "mm_processor_cache_gb": 0,
    "limit_mm_per_prompt": {"image": 1},
    "disable_log_stats": True,
    **ARGUMENTS,
}
_END = object()


class Clock:
    """Counts captions, and measures from when the engine is warm."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._seen = self._tokens = 0
        self._first: tuple[float, int, int] | None = None  # seconds, captions, tokens
        self._before = (0.0, 0.0)

    def tick(self, tokens: int) -> None:
        """Count a caption."""
        self._seen += 1
        self._tokens += tokens

    def look(self) -> None:
        """Begin to measure if enough have come."""
        if self._first is None and self._seen >= WARM:
            self._first = (time.monotonic(), self._seen, self._tokens)
            self._before = self._tree.seconds()

    def tell(self) -> None:
        """Print what was measured, before the engine ends and says so."""
        assert self._first is not None
        begun, captions, tokens = self._first
        seconds = time.monotonic() - begun
        front, engine = (
            round(after - before, 2)
            for after, before in zip(self._tree.seconds(), self._before, strict=True)
        )
        told = {
            "captions": self._seen - captions,
            "captions_per_s": (self._seen - captions) / seconds,
            "tokens_per_s": (self._tokens - tokens) / seconds,
            "cpu_s": {"front": front, "engine": engine},
            "worker_mib": self._tree.used.peak_mib,
        }
        print(json.dumps(told), flush=True)


def template() -> str:
    """Write the prompt as the model wants it."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    processor = AutoProcessor.from_pretrained(MODEL)
    text: str = processor.apply_chat_template(messages, add_generation_prompt=True)
    return text


def sampling(data: bytes) -> SamplingParams:
    """Ask for a caption of exactly the length that the image says."""
    return SamplingParams(
        temperature=0,
        max_tokens=length_of(data),
        ignore_eos=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def decoded(data: bytes) -> Image.Image:
    """Decode an image."""
    return Image.open(io.BytesIO(data)).convert("RGB")


async def one_by_one(
    images: Iterable[tuple[bytes, Image.Image]] | AsyncIterator[tuple[bytes, Image.Image]],
    clock: Clock,
) -> None:
    """Feed AsyncLLM, so many requests at once."""
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**OWN))
    text, numbers = template(), count()
    slots = asyncio.Semaphore(REQUESTS)

    async def caption(data: bytes, image: Image.Image) -> None:
        prompt: Any = {"prompt": text, "multi_modal_data": {"image": image}}
        async for answer in engine.generate(prompt, sampling(data), str(next(numbers))):
            clock.tick(len(answer.outputs[0].token_ids))
            clock.look()
        slots.release()

    async with asyncio.TaskGroup() as group:
        if isinstance(images, AsyncIterator):
            async for data, image in images:
                await slots.acquire()
                group.create_task(caption(data, image))
        else:
            for data, image in images:
                await slots.acquire()
                group.create_task(caption(data, image))
    clock.tell()
    engine.shutdown()


async def of_webdataset(tar: Path) -> AsyncIterator[tuple[bytes, Image.Image]]:
    """Read and decode beside the event loop, one after another."""
    samples: Iterator[Any] = iter(webdataset.WebDataset(str(tar), shardshuffle=False))

    def following() -> Any:
        sample = next(samples, None)
        return _END if sample is None else (sample["image"], decoded(sample["image"]))

    while (found := await asyncio.to_thread(following)) is not _END:
        yield found


def in_batches(paths: list[Path], clock: Clock) -> None:
    """Read, decode and caption a batch, then the next."""
    llm, text = LLM(**OWN), template()
    waiting = iter(paths)
    while batch := [path.read_bytes() for path in islice(waiting, REQUESTS)]:
        prompts: Any = [
            {"prompt": text, "multi_modal_data": {"image": decoded(data)}} for data in batch
        ]
        answers = llm.generate(prompts, [sampling(data) for data in batch], use_tqdm=False)
        for answer in answers:
            clock.tick(len(answer.outputs[0].token_ids))
        clock.look()
    clock.tell()


def main() -> None:
    """Go the way that is named."""
    way, place = sys.argv[1], Path(sys.argv[2])
    with Tree(os.getpid()) as tree:
        clock = Clock(tree)
        if way == "barrier":
            in_batches(images_in(place), clock)
        elif way == "webdataset":
            asyncio.run(one_by_one(of_webdataset(place), clock))
        else:
            images = [(data, decoded(data)) for data in map(Path.read_bytes, images_in(place))]
            asyncio.run(one_by_one(images, clock))


if __name__ == "__main__":
    main()
