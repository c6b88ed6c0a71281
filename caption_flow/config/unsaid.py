"""What a document writes and does not mean: sampling without a value, ends that end nothing.

Taken out of plain data before it is checked, as older documents have it and nothing is lost.
"""

from collections.abc import Iterator
from typing import Any

from caption_flow.config.words import Steps

_ENDS_NOTHING = "is left out: an empty text ends no caption"
_NOT_USED = "is not used: the stages have prompts of their own"


def take_out(job: dict[Any, Any]) -> Iterator[tuple[Steps, str]]:
    """Take it out of a job's document; yield where, and the rest of the sentence."""
    vllm = job.get("vllm")
    if not isinstance(vllm, dict):
        return
    stages = vllm.get("stages")
    if stages and "inference_prompts" in vllm:
        yield ("vllm", "inference_prompts"), _NOT_USED
    yield from _from_sampling(vllm, ("vllm",))
    for index, stage in enumerate(stages if isinstance(stages, list) else ()):
        yield from _from_sampling(stage, ("vllm", "stages", index))


def _from_sampling(section: Any, steps: Steps) -> Iterator[tuple[Steps, str]]:
    sampling = section.get("sampling") if isinstance(section, dict) else None
    if not isinstance(sampling, dict):
        return
    # For stop, no value is one: nothing ends a caption but its length and the model.
    for name in [n for n, value in sampling.items() if value is None and n != "stop"]:
        del sampling[name]
    stop = sampling.get("stop")
    if isinstance(stop, list) and "" in stop:
        for index in [n for n, text in enumerate(stop) if text == ""]:
            yield (*steps, "sampling", "stop", index), _ENDS_NOTHING
        sampling["stop"] = [text for text in stop if text != ""]
