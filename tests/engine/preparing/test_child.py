"""What a process that prepares makes of a job, with a stand-in for the model's processor."""

import io
from typing import Any

import msgspec
import pytest
from PIL import Image

from caption_flow.config.schema import ImagesConfig
from caption_flow.engine.preparing.child import Answer, Job, answered

LIMITS = ImagesConfig(max_side=8)


class Processor:
    """Notes what it is shown."""

    default_chat_tok_params = None
    seen: dict[str, Any]

    def render_cmpl(self, prompts: list[dict[str, Any]], _: object) -> list[Any]:
        [self.seen] = prompts
        raise ValueError("seen enough")


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side // 2), 40).save(file, "PNG")
    return file.getvalue()


def answer(processor: Processor, data: bytes, limits: ImagesConfig = LIMITS) -> Answer:
    job = msgspec.msgpack.encode(Job({"prompt": "Describe."}, "hash", limits))
    [said] = answered(processor, memoryview(job), memoryview(data))
    return msgspec.msgpack.decode(said, type=Answer)


def test_an_image_is_decoded_and_made_as_small_as_the_job_says():
    processor = Processor()
    answer(processor, png(32))

    image = processor.seen["multi_modal_data"]["image"]
    assert (image.mode, image.size) == ("RGB", (8, 4))
    assert processor.seen["multi_modal_uuids"] == {"image": ["hash-8x4"]}
    assert processor.seen["prompt"] == "Describe."


@pytest.mark.parametrize(
    ("data", "limits", "reason"),
    [
        (png(32)[:-40], LIMITS, "truncated"),
        (png(32), ImagesConfig(max_pixels=100), "too_many_pixels"),
        (b"no image", LIMITS, "not_an_image"),
    ],
)
def test_a_bad_image_keeps_its_reason(data: bytes, limits: ImagesConfig, reason: str):
    told = answer(Processor(), data, limits)

    assert told.bad is not None
    assert told.bad[0] == reason
