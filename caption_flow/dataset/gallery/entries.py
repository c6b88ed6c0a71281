"""Gallery: what of a row can be searched for, and what rows can be filtered by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from caption_flow.dataset.columns import EXTRA, STAGES
from caption_flow.dataset.gallery.index import Entry, Facet
from caption_flow.dataset.gallery.rows import WHO_MADE, OpenedPart
from caption_flow.dataset.shape import Shape

KINDS = ("shard", "stage", "contributor", "flag", "finish", "model")  # of facets

_BATCH = 2000  # rows
_LONGEST = 20_000  # characters of one value
_PLAIN = ("id", "shard", "contributor", "model", "quality_flags", "finish_reasons", EXTRA)


def entries(part: OpenedPart) -> Iterator[list[Entry]]:
    """Read a part for the index, so many rows at a time."""
    shape = part.shape
    ours = [name for name in _PLAIN if name in shape.ours]
    stages = WHO_MADE if STAGES in shape.ours else ()
    columns = [*ours, *stages, *shape.outputs, *shape.fields, *shape.own]
    for batch in part.batches(columns, _BATCH):
        yield [_entry(values, shape) for values in batch]


def _entry(values: Mapping[str, Any], shape: Shape) -> Entry:
    said = [*_texts(values, shape.outputs), *_texts(values, shape.fields)]
    about = _texts(values, ("id", *shape.own, EXTRA))
    return Entry("\n".join(said), "\n".join(about), tuple(_facets(values)))


def _texts(values: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value = values.get(name)
        for one in value if isinstance(value, list) else (value,):
            if one is not None:
                yield str(one)[:_LONGEST]


def _facets(values: Mapping[str, Any]) -> Iterator[Facet]:
    made = [stage for stage in values.get(STAGES) or () if stage]
    yield "shard", values.get("shard") or ""
    yield "model", values.get("model") or ""
    for stage in made:
        yield "stage", stage.get("stage") or ""
        yield "contributor", stage.get("contributor") or ""
    if not made:  # then the row as a whole is who made the last
        yield "contributor", values.get("contributor") or ""
    for flag in values.get("quality_flags") or ():
        yield "flag", flag or ""
    for reason in values.get("finish_reasons") or ():
        yield "finish", reason or ""
