"""Bench: the engine alone. Decoded images from memory into AsyncLLM, so many at once.

python -m tests.bench.bare_engine FOLDER COUNT
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoProcessor
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from tests.bench.engine import ARGUMENTS, MODEL, PROMPT, REQUESTS, WARM


def pictures(folder: Path, count: int) -> list[Image.Image]:
    """Decode the images beforehand."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix in {".jpg", ".png", ".webp"}]
    return [Image.open(path).convert("RGB") for path in paths[:count]]


async def rate(folder: Path, count: int) -> float:
    """Captions a second, once the engine is warm."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    template = AutoProcessor.from_pretrained(MODEL)
    text = template.apply_chat_template(messages, add_generation_prompt=True)
    arguments = AsyncEngineArgs(
        model=str(MODEL),
        mm_processor_cache_gb=0,
        limit_mm_per_prompt={"image": 1},
        disable_log_stats=True,
        **ARGUMENTS,
    )
    engine = AsyncLLM.from_engine_args(arguments)
    sampling = SamplingParams(
        temperature=0, max_tokens=32, output_kind=RequestOutputKind.FINAL_ONLY
    )
    slots = asyncio.Semaphore(REQUESTS)
    finished = 0
    begun = 0.0

    async def caption(number: int, image: Image.Image) -> None:
        nonlocal finished, begun
        async with slots:
            prompt: Any = {"prompt": text, "multi_modal_data": {"image": image}}
            async for _ in engine.generate(prompt, sampling, str(number)):
                pass
        finished += 1
        if finished == WARM:
            begun = time.monotonic()

    images = pictures(folder, count)
    await asyncio.gather(*(caption(number, image) for number, image in enumerate(images)))
    result = (len(images) - WARM) / (time.monotonic() - begun)
    engine.shutdown()
    return result


if __name__ == "__main__":
    print(asyncio.run(rate(Path(sys.argv[1]), int(sys.argv[2]))))
