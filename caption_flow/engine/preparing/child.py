"""Engine: a process that decodes and runs the model's processor, for the worker that started it.

python -m caption_flow.engine.preparing.child DESCRIPTOR

It takes one job after the other, and ends when its worker does: nobody holds the other end of its
socket then, and it looks who its parent is while it is at something.
"""

import os
import pickle
import socket
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from caption_flow import logs
from caption_flow.config.schema import ImagesConfig
from caption_flow.engine.orphans import follow
from caption_flow.engine.preparing.parcel import receive, send
from caption_flow.engine.showing import shown
from caption_flow.engine.troubles import is_refusal, words
from caption_flow.errors import BadImage
from caption_flow.image import decode


class Job(msgspec.Struct, frozen=True):
    """One image to prepare for one prompt; it comes beside it, encoded."""

    prompt: dict[str, Any]
    sha256: str  # of the image, where it is known
    limits: ImagesConfig


class Answer(msgspec.Struct, frozen=True):
    """What came of it: inputs beside it, or why there are none."""

    bad: tuple[str, str] | None = None  # reason and detail of an image that does not decode
    refused: str | None = None  # what is wrong with the image or the prompt otherwise
    failed: str | None = None  # what went wrong otherwise


def main() -> None:
    """Prepare until nobody wants more."""
    logs.inherit()
    follow(os.getppid())
    way = socket.socket(fileno=int(sys.argv[1]))
    try:
        [config] = receive(way)
        renderer = _renderer(pickle.loads(config))  # noqa: S301 - from our own worker
        send(way, [msgspec.msgpack.encode(Answer())])
        while True:
            send(way, answered(renderer, *receive(way)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # the worker has ended, or is about to


def _renderer(config: Any) -> Any:
    from vllm.renderers import renderer_from_config  # noqa: PLC0415 - slow to import

    if config.model_config.multimodal_config is not None:
        # Each image comes here once, so there is nothing to remember.
        config.model_config.multimodal_config.mm_processor_cache_gb = 0
    return renderer_from_config(config)


def answered(renderer: Any, job: memoryview, data: memoryview) -> list[Any]:
    """Do a job; answers its frames."""
    try:
        made = _packed(_prepared(renderer, msgspec.msgpack.decode(job, type=Job), data))
    except BadImage as exc:
        return [msgspec.msgpack.encode(Answer(bad=(exc.reason, exc.detail)))]
    except Exception as exc:  # around one sample: whatever the model's processor makes of it
        said = words(exc)
        answer = Answer(refused=said) if is_refusal(exc) else Answer(failed=said)
        return [msgspec.msgpack.encode(answer)]
    return [msgspec.msgpack.encode(Answer()), *made]


def _prepared(renderer: Any, job: Job, data: memoryview) -> dict[str, Any]:
    limits = job.limits
    image = decode(bytes(data), max_pixels=limits.max_pixels, max_side=limits.max_side)
    prompt = {**job.prompt, **shown(image, job.sha256)}
    [made] = renderer.render_cmpl([prompt], renderer.default_chat_tok_params)
    return dict(made)


def _packed(made: dict[str, Any]) -> Sequence[Any]:
    from caption_flow.engine.preparing.inputs import packed  # noqa: PLC0415 - imports vLLM

    return packed(made)


if __name__ == "__main__":
    main()
