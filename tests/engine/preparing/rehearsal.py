"""An image prepared by this process and by another, in a process of its own since vLLM marks it.

Prints what became of it, as JSON.
"""

import asyncio
import io
import json
from typing import Any

import torch
from PIL import Image
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.renderers import renderer_from_config

from caption_flow.config.schema import ImagesConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.engine.showing import shown
from caption_flow.engine.troubles import words
from caption_flow.errors import CaptionFlowError
from caption_flow.image import decode
from tests.e2e.shapes import SHAPES

TILES = {"do_image_splitting": True, "size": {"longest_edge": 256}}
STAGE = Stage("one", "m", ("Describe.",))
LIMITS = ImagesConfig(max_side=300)  # less than the image has


def alike(one: Any, other: Any) -> bool:
    """Whether the tensors of two inputs are the same, and all beside them."""
    [image], [twin] = (made["mm_kwargs"]["image"] for made in (one, other))
    tensors = [torch.equal(image[name].data, twin[name].data) for name in image]
    keys = ("type", "prompt_token_ids", "prompt", "mm_hashes")
    [place], [twins] = (made["mm_placeholders"]["image"] for made in (one, other))
    spans = [(span.offset, span.length, span.is_embed.tolist()) for span in (place, twins)]
    beside = [one[key] == other[key] for key in keys]
    return all(tensors) and len(tensors) > 1 and all(beside) and spans[0] == spans[1]


async def main() -> None:
    arguments = AsyncEngineArgs(
        model=str(SHAPES / "model"),
        max_model_len=1024,
        mm_processor_cache_gb=0,
        limit_mm_per_prompt={"image": 1},
        mm_processor_kwargs=TILES,
    )
    config = arguments.create_engine_config()
    renderer = renderer_from_config(config)
    file = io.BytesIO()
    Image.effect_noise((900, 600), 50).convert("RGB").save(file, "JPEG")
    data = file.getvalue()
    image = decode(data, max_pixels=LIMITS.max_pixels, max_side=LIMITS.max_side)
    preparers = Preparers(config, 1, slots=1, most=1)

    def here(prompt: dict[str, Any]) -> Any:
        whole = {**prompt, **shown(image, "hash")}
        [made] = renderer.render_cmpl([whole], renderer.default_chat_tok_params)
        return made

    async def there(prompt: dict[str, Any]) -> Any:
        request = Request("r", "s", STAGE, "", data, sha256="hash", limits=LIMITS)
        return await preparers.prepare(prompt, request)

    prompt = {"prompt": "<image>Describe."}
    same = alike(here(prompt), await there(prompt))
    errors = []
    too_long = {"prompt": "<image>" + "word " * 2000}
    try:
        here(too_long)
    except Exception as exc:
        errors.append(words(exc))
    try:
        await there(too_long)
    except CaptionFlowError as exc:
        errors.append(str(exc))
    await preparers.close()
    print(json.dumps({"same": same, "errors": errors}))


if __name__ == "__main__":
    asyncio.run(main())
