"""Any noun that may have to be written: arbitrary JSON columns, names as file systems have them."""

import os

from hypothesis import strategies as st
from msgspec import UNSET

from caption_flow.model import Chunk, Failure, Outcome, Sample

# What Python makes of a file name that is not UTF-8.
odd_names = st.binary(max_size=12).map(os.fsdecode)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.one_of(texts, odd_names)

# Not NaN and no infinity: JSON has neither.
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), names
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
columns = st.dictionaries(names, values, max_size=4)

sampling = st.one_of(st.just(UNSET), columns)

counts = st.integers(0, 2**40)
moments = st.floats(0, 1e10)

samples = st.builds(
    Sample,
    id=names,
    dataset=names,
    shard=names,
    chunk=names,
    source=names,
    width=counts,
    height=counts,
    format=texts,
    bytes=counts,
    sha256=texts,
    columns=columns,
    sampling=sampling,
)
chunks = st.builds(
    Chunk,
    id=names,
    dataset=names,
    shard=names,
    names=st.lists(names, max_size=4).map(tuple),
    sampling=sampling,
)
failures = st.builds(
    Failure, reason=texts, detail=names, at=moments, stage=texts, attempt=counts, member=texts
)


def outcomes_of(stage: str) -> st.SearchStrategy[Outcome]:
    return st.builds(
        Outcome,
        stage=st.just(stage),
        outputs=st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2),
        engine=texts,
        model=texts,
        prompts=texts,
        prompt_tokens=counts,
        output_tokens=counts,
        finish_reasons=st.lists(texts, max_size=2),
        settings_version=counts,
        attempt=counts,
        worker=names,
        contributor=texts,
        captioned_at=moments,
    )
