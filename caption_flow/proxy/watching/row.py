"""Proxy: a finished sample as the wall shows it, from the queue or from a part, in little memory.

Captions may be strangers', and as long as they are let in: of each row a bounded text is kept.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from caption_flow.model import Caption, Sample

MOST_TEXT = 3000  # characters of all captions of a row
MOST_NAME = 400  # of an id, a source and the like
_MOST_TEXTS = 24  # of a row
_CUT = " …"
_NAMES = ("id", "dataset", "shard", "chunk", "source")  # of a sample, in a part


class Made(Struct, frozen=True):
    """Who made what of a row."""

    stage: str
    contributor: str  # empty: the operator's own worker
    outputs: tuple[str, ...]  # names of the captions that came of it


class Row(Struct, frozen=True):
    """What is told of a finished sample; assets/gallery.js shows it."""

    id: str
    shard: str
    source: str
    width: int  # pixels
    height: int
    captions: Mapping[str, list[str]]  # texts by output
    stages: tuple[Made, ...]
    contributor: str  # of the last stage
    flags: tuple[str, ...]  # "STAGE:FLAG"
    at: float  # when it was captioned, in seconds since the epoch
    facts: Mapping[str, str] = field(default_factory=dict)


def of_caption(caption: Caption) -> Row:
    """Make a row of what waits for a part."""
    outputs: dict[str, list[str]] = {}
    for outcome in caption.outcomes:
        for name, texts in outcome.outputs.items():
            outputs[name] = outputs.get(name, []) + texts
    last = caption.outcomes[-1]
    tokens = sum(outcome.output_tokens for outcome in caption.outcomes)
    return Row(
        **_about(caption.sample),
        captions=_within(outputs),
        stages=tuple(Made(o.stage, o.contributor, tuple(o.outputs)) for o in caption.outcomes),
        contributor=last.contributor,
        flags=tuple(f"{o.stage}:{flag}" for o in caption.outcomes for flag in o.flags),
        at=last.captioned_at,
        facts=_facts(last.model, last.worker, tokens),
    )


def of_part(row: Mapping[str, Any], outputs: Iterable[str], stages: Mapping[str, str]) -> Row:
    """Make a row of a row of a part.

    `outputs`: names of its captions; `stages`: which of them each stage of the job writes.
    """
    captions = {name: row.get(name) or [] for name in outputs}
    at = row.get("captioned_at")
    return Row(
        **_about(sample_of(row)),
        captions=_within(captions),
        stages=tuple(
            Made(one["stage"], one["contributor"] or "", _of_stage(one["stage"], captions, stages))
            for one in row.get("stages") or ()
        ),
        contributor=row.get("contributor") or "",
        flags=tuple(row.get("quality_flags") or ()),
        at=at.timestamp() if isinstance(at, datetime) else 0.0,
        facts=_facts(row.get("model"), row.get("worker"), row.get("output_tokens")),
    )


def sample_of(row: Mapping[str, Any]) -> Sample:
    """Say which sample a row of a part is about."""
    names: dict[str, Any] = {name: row.get(name) or "" for name in _NAMES}
    return Sample(**names, width=row.get("width") or 0, height=row.get("height") or 0)


def _of_stage(
    stage: str, captions: Mapping[str, list[str]], stages: Mapping[str, str]
) -> tuple[str, ...]:
    """Name what a stage has written, as far as the settings of now tell."""
    return tuple(name for name in captions if name == stages.get(stage))


def _about(sample: Sample) -> dict[str, Any]:
    names = {name: _cut(getattr(sample, name), MOST_NAME) for name in ("id", "shard", "source")}
    return names | {"width": sample.width, "height": sample.height}


def _facts(model: str | None, worker: str | None, tokens: int | None) -> dict[str, str]:
    told = {"Model": model, "Worker": worker, "Tokens": tokens}
    return {name: _cut(str(value), MOST_NAME) for name, value in told.items() if value}


def _within(outputs: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Keep of the texts what there is room for, the same for each."""
    texts = sum(len(some) for some in outputs.values())
    most = max(100, MOST_TEXT // max(1, texts))
    kept, left = {}, _MOST_TEXTS
    for name, some in outputs.items():
        kept[name] = [_cut(text, most) for text in some[:left]]
        left -= len(kept[name])
    return kept


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + _CUT
