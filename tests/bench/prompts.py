"""Bench: several prompts on one image, asked together or one after the other.

    python -m tests.bench.prompts [--images 300] [--runs 3]

One real vLLM with the shapes model in this process, fed from memory with drawn images of 512
pixels a side. Three prompts on each image in one run, against three runs of one prompt, in which
each image comes again when all others have been seen and the engine keeps nothing of it, as in
three jobs; and what the first costs when images have no names, so that their pixels are hashed. All
in each run, in turn, so that whatever else the machine does meets all alike.
"""

import argparse
import asyncio
import hashlib
import io
import itertools
import json
import statistics
import time
from pathlib import Path

from msgspec import Struct
from PIL import Image

from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.vllm import VllmEngine
from examples.shapes.draw import encode, plan

MODEL = Path(__file__).parents[2] / "examples/shapes/model"
ARGUMENTS = {"max_model_len": 512, "gpu_memory_utilization": 0.2, "enforce_eager": True}
PROMPTS = ("Describe the image.", "What do you see?", "Caption this image.")
SAMPLING = Sampling(temperature=0, max_tokens=32, repetition_penalty=1.0)
REQUESTS = 48  # in the engine at once
SIDE = 512


class Shown(Struct, frozen=True):
    """An image in memory."""

    data: bytes
    pixels: Image.Image
    sha256: str  # "" where it has no name


def drawn(count: int, seed: int, *, named: bool) -> list[Shown]:
    """Draw images that no run has seen."""
    found = []
    for number in range(count):
        data = encode(plan(seed, number, SIDE))
        pixels = Image.open(io.BytesIO(data)).convert("RGB")
        found.append(Shown(data, pixels, hashlib.sha256(data).hexdigest() if named else ""))
    return found


class Bench:
    """One engine, and how fast it answers."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine
        self._slots = asyncio.Semaphore(REQUESTS)
        self._numbers = itertools.count()

    async def run(self, images: list[Shown], prompts: tuple[str, ...]) -> float:
        """Ask all prompts of each image; answers the seconds it took."""
        stage = Stage("caption", "m", prompts, sampling=SAMPLING)
        begun = time.monotonic()
        await asyncio.gather(
            *(self._ask(stage, prompt, image) for image in images for prompt in prompts)
        )
        return time.monotonic() - begun

    async def forget(self) -> None:
        """Let the engine keep nothing of what it has seen."""
        llm = self._engine._llm
        await llm.reset_mm_cache()
        await llm.reset_encoder_cache()
        await llm.reset_prefix_cache()

    async def _ask(self, stage: Stage, prompt: str, image: Shown) -> None:
        async with self._slots:
            name = str(next(self._numbers))
            request = Request(name, name, stage, prompt, image.data, image.pixels, image.sha256)
            await self._engine.caption(request)


async def measure(count: int, runs: int) -> list[dict[str, float]]:
    """Captions a second of each way, run by run."""
    engine = VllmEngine(str(MODEL), ARGUMENTS, (Stage("caption", "m", PROMPTS),), capacity=REQUESTS)
    await engine.start()
    bench = Bench(engine)
    await bench.run(drawn(REQUESTS, 1, named=True), PROMPTS)  # to be warm
    results = []
    for seed in range(2, runs + 2):
        images, nameless = (drawn(count, seed, named=named) for named in (True, False))
        await bench.forget()
        together = await bench.run(images, PROMPTS)
        await bench.forget()
        hashed = await bench.run(nameless, PROMPTS)
        apart = 0.0
        for prompt in PROMPTS:
            await bench.forget()
            apart += await bench.run(images, (prompt,))
        captions = count * len(PROMPTS)
        results.append(
            {
                "together": captions / together,
                "apart": captions / apart,
                "hashed": captions / hashed,
                "gain": apart / together,
            }
        )
    await engine.stop()
    return results


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    runs = asyncio.run(measure(given.images, given.runs))
    print(json.dumps({"bench": "prompts", "images": given.images, "runs": runs}))
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    print(
        f"prompts: three together {medians['together']:.0f} captions/s, apart "
        f"{medians['apart']:.0f}, gain {medians['gain']:.2f}; together without names "
        f"{medians['hashed']:.0f}"
    )


if __name__ == "__main__":
    main()
