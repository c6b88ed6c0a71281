"""Export: what the columns of a part mean, in a few words each; docs/dataset.md says more."""

from collections.abc import Collection, Mapping

import pyarrow as pa

from caption_flow.export.choice import CAPTION, OUTPUT, How
from caption_flow.export.hub.features import is_image

_OURS = {
    "id": "the sample, unique within the data set",
    "dataset": "name of the data set",
    "shard": "folder, archive or file that the sample is from",
    "chunk": "the run of samples with which it was captioned",
    "source": "URL of the image; null where it lies on a disk",
    "width": "pixels of the image as the model saw it, upright",
    "height": "pixels, likewise",
    "format": "of the image as the model saw it",
    "bytes": "length of the encoded image as the model saw it",
    "sha256": "hex digest of the encoded image as the model saw it",
    "prompts": "fingerprint of the prompts",
    "model": "what made the captions",
    "engine": "what ran the model",
    "settings_version": "version of the settings with which it was made",
    "prompt_tokens": "summed over the prompts",
    "output_tokens": "summed over the prompts",
    "finish_reasons": "why each answer ended: stop, length, …",
    "attempt": "1 where the first worker that had the sample captioned it",
    "worker": "null: workers are not named",
    "contributor": "who lent the worker; null for the operator's own",
    "captioned_at": "when, UTC",
    "quality_flags": "checks that a caption failed and was kept all the same, as STAGE:check",
    "attempts": "the most tries that one of its captions took",
    "stages": "who made what, one for each stage in their order",
    "extra": "JSON of what no other column holds",
}


_CHOSEN: Mapping[How, Mapping[str, str]] = {
    "all": {},
    "each": {
        CAPTION: "one of the texts that were made of the image",
        OUTPUT: "which of the job's columns of texts it is from",
    },
    "one": {CAPTION: "the text that was taken of those that were made of the image"},
}


def meaning(
    column: pa.Field, outputs: Collection[str], fields: Collection[str], how: How = "all"
) -> str:
    """Say in a few words what a column holds; `how`: captions were chosen so."""
    if column.name in _CHOSEN[how]:
        return _CHOSEN[how][column.name]
    if column.name in outputs:
        return "texts that were made of the image, one per prompt, without empty ones"
    if column.name in fields:
        return "from the answer, which was asked for as JSON"
    if is_image(column.type):
        return "the image itself"
    return _OURS.get(column.name, "of the sample, as its source has it")
