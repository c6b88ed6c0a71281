"""Engine: inputs that a model's processor has made, as frames and back.

In vLLM's own encoding of what goes to its engine: tensors stay apart, and are looked at where they
lie. Nothing is pickled.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from vllm.multimodal.inputs import MultiModalKwargsItems, PlaceholderRange
from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

WHOLE = "multimodal"  # the one kind of inputs that is carried


class Inputs(msgspec.Struct, frozen=True):
    """What vLLM calls MultiModalInput, with those fields that an engine reads."""

    prompt_token_ids: list[int]
    mm_kwargs: MultiModalKwargsItems
    mm_hashes: dict[str, list[str]]
    mm_placeholders: dict[str, list[PlaceholderRange]]
    prompt: str | None


def packed(made: dict[str, Any]) -> Sequence[Any]:
    """Make frames of inputs; ValueError where they are of another kind."""
    if made["type"] != WHOLE:
        raise ValueError(f'inputs of the kind "{made["type"]}" are not prepared elsewhere')
    inputs = Inputs(
        made["prompt_token_ids"],
        made["mm_kwargs"],
        made["mm_hashes"],
        made["mm_placeholders"],
        made.get("prompt"),
    )
    return MsgpackEncoder().encode(inputs)


def unpacked(frames: Sequence[memoryview]) -> dict[str, Any]:
    """Make inputs of frames, whose memory they share."""
    inputs: Inputs = MsgpackDecoder(Inputs).decode(frames)
    made = {"type": WHOLE, **{name: getattr(inputs, name) for name in Inputs.__struct_fields__}}
    if made["prompt"] is None:
        del made["prompt"]
    return made
