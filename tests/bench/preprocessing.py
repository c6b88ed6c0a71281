"""Bench: what it costs the worker's process to have images prepared, and who can take it away.

    python -m tests.bench.preprocessing [--images 60] [--preparers 2|auto] [--side 4000] [--real]

JPEGs of 12 megapixels and the shapes model, whose processor is told to cut each image into tiles:
captions a second and CPU milliseconds an image with decoding and the processor in threads of this
process, with processes for both, and with inputs that were prepared before (the ceiling). The
engine only waits, as for a GPU, so that it takes no core from who prepares; --real: it is vLLM's.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from caption_flow.config.sampling import Sampling
from caption_flow.config.schema import ImagesConfig, Preparing
from caption_flow.config.vllm import Stage
from caption_flow.engine.arguments import engine_arguments
from caption_flow.engine.port import Output, Request
from caption_flow.engine.preparing.cores import spare
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.engine.vllm import VllmEngine
from caption_flow.image import decode
from tests.bench.engine import ARGUMENTS, MODEL, PROMPT

AT_ONCE = 32
SLOTS = 16  # of the engine that only waits
LATENCY = 0.2  # seconds it takes for a caption
LIMITS = ImagesConfig(max_side=1024)
TILED = {
    "max_model_len": 1024,
    "mm_processor_cache_gb": 0,
    "enable_prefix_caching": False,  # each round shows the same images
    "mm_processor_kwargs": {"do_image_splitting": True, "size": {"longest_edge": 320}},
}
STAGE = Stage("caption", "m", (PROMPT,), sampling=Sampling(temperature=0, max_tokens=16))


class Waiting:
    """In the place of vLLM's engine: its processor, and a model that costs no CPU."""

    errored = False

    def __init__(self, config: Any) -> None:
        from vllm.renderers import renderer_from_config  # noqa: PLC0415 - slow to import

        self.vllm_config = config
        self.model_config = config.model_config
        self.renderer = renderer_from_config(config)
        self._slots = asyncio.Semaphore(SLOTS)

    async def generate(self, *_: object) -> AsyncIterator[Any]:
        async with self._slots:
            await asyncio.sleep(LATENCY)
        answer = SimpleNamespace(text="seen", token_ids=[1], finish_reason="stop")
        yield SimpleNamespace(outputs=[answer], prompt_token_ids=[1])

    def shutdown(self, _: float) -> None:
        """Nothing runs."""


class WaitingEngine(VllmEngine):
    """What the worker has for vLLM, with that one inside."""

    def _load(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - slow to import

        told = engine_arguments(
            self._arguments, self._stages, model=self.model, trust_remote_code=False, share=1
        )
        return Waiting(AsyncEngineArgs(**told).create_engine_config())


def jpegs(count: int, side: int) -> list[bytes]:
    """Draw images of 4 to 3."""
    drawn = []
    for number in range(count):
        small = Image.effect_noise((96, 72), 40 + number).convert("RGB")
        file = io.BytesIO()
        small.resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(file, "JPEG")
        drawn.append(file.getvalue())
    return drawn


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pixels(data: bytes) -> Image.Image:
    """Decode as a worker does."""
    return decode(data, max_pixels=LIMITS.max_pixels, max_side=LIMITS.max_side)


def decoding(images: list[bytes]) -> float:
    """CPU milliseconds an image for nothing else."""
    begun = time.thread_time()
    for data in images:
        pixels(data)
    return round((time.thread_time() - begun) / len(images) * 1000, 1)


async def request(number: int, data: bytes, *, decodes: bool) -> Request:
    """Make what a worker asks, decoded in a thread if need be."""
    image = await asyncio.to_thread(pixels, data) if decodes else None
    digest = hashlib.sha256(data).hexdigest()
    name = f"{number}-{time.monotonic()}"
    return Request(name, "s", STAGE, PROMPT, data, image, digest, limits=LIMITS)


async def measured(
    images: list[bytes],
    pids: Callable[[], list[int]],
    caption: Callable[[int, bytes], Awaitable[str]],
) -> tuple[list[str], dict[str, float]]:
    """Caption all images, so many at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, data: bytes) -> str:
        async with slots:
            return await caption(number, data)

    before, own = {pid: cpu_seconds(pid) for pid in pids()}, cpu_seconds(os.getpid())
    begun = time.monotonic()
    texts = await asyncio.gather(*(one(n, data) for n, data in enumerate(images)))
    seconds = time.monotonic() - begun
    spent = sum(cpu_seconds(pid) - before.get(pid, 0.0) for pid in pids())
    return texts, {
        "captions_per_second": round(len(images) / seconds, 2),
        "worker_cpu_ms_per_image": round((cpu_seconds(os.getpid()) - own) / len(images) * 1000, 1),
        "preparers_cpu_ms_per_image": round(spent / len(images) * 1000, 1),
    }


async def run(
    images: list[bytes], preparers: Preparing, most: int, kind: type[VllmEngine]
) -> dict[str, Any]:
    """Measure the three, with one engine."""
    engine = kind(str(MODEL), {**ARGUMENTS, **TILED}, (STAGE,), capacity=AT_ONCE)
    await engine.start()
    llm, prompts = engine._llm, engine._prompts

    async def worker(number: int, data: bytes) -> str:
        return (await engine.caption(await request(number, data, decodes=engine.decodes))).text

    async def prepare(number: int, data: bytes) -> Any:
        asked = await request(number, data, decodes=True)
        prompt = await prompts.rendered(STAGE, None, PROMPT)
        return await engine._inputs(llm, None, prompt, asked)

    await asyncio.gather(*(worker(n, data) for n, data in enumerate(images[:8])))  # warm
    texts, thread = await measured(images, list, worker)
    ready = [await prepare(number, data) for number, data in enumerate(images)]

    async def fed(number: int, _: bytes) -> str:
        stream = llm.generate(ready[number], engine._params(STAGE), f"ceiling {number}")
        pieces = [piece async for piece in stream]
        return Output("".join(p.outputs[0].text for p in pieces), "", 0, 0).text.strip()

    _, ceiling = await measured(images, list, fed)
    pool = Preparers(llm.vllm_config, preparers, slots=engine.capacity, most=most)
    engine._pool = pool
    engine.decodes = False
    await asyncio.gather(*(worker(n, data) for n, data in enumerate(images[:8])))
    same, processes = await measured(images, lambda: pool.processes.pids, worker)
    found = pool.count
    await engine.stop()
    return {
        "images": len(images),
        "preparers": found,
        "decoding_cpu_ms_per_image": decoding(images),
        "thread": thread,
        "processes": processes,
        "ceiling": ceiling,
        "same_captions": same == texts,  # which says something with --real
    }


def _preparing(text: str) -> Preparing:
    return "auto" if text == "auto" else int(text)


def main() -> None:
    """Run it; one line of JSON, and one in words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--preparers", type=_preparing, default=2)
    parser.add_argument("--most", type=int, default=spare(1), help="of those with auto")
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--real", action="store_true")
    asked = parser.parse_args()
    kind = VllmEngine if asked.real else WaitingEngine
    found = asyncio.run(run(jpegs(asked.images, asked.side), asked.preparers, asked.most, kind))
    print(json.dumps({"bench": "preprocessing", **found}))
    print(f"decoding alone: {found['decoding_cpu_ms_per_image']} ms of CPU an image")
    for name in ("thread", "processes", "ceiling"):
        rate, cost = found[name]["captions_per_second"], found[name]["worker_cpu_ms_per_image"]
        print(f"{name}: {rate} captions/s, {cost} ms of the worker's CPU an image")


if __name__ == "__main__":
    main()
