"""Round trips: what is written can be read, and is the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.model import Caption, Chunk, DeadLetter, Failure, Lease, Outcome, Sample
from tests.codec import nouns

ENTRY = "1700000000000-0"
stages = st.lists(st.sampled_from(["look", "tell", "check", "été"]), unique=True, max_size=3)
passed = stages.flatmap(lambda names: st.tuples(*map(nouns.outcomes_of, names)))


def fields_of(sample: Sample, outcomes: tuple[Outcome, ...]) -> dict[bytes, bytes]:
    """Write an entry as the scripts `offer` and `complete` do."""
    fields = {b"sample": records.encode(sample), b"bytes": b"%d" % sample.bytes}
    for outcome in outcomes:
        fields[records.OUTCOME_PREFIX + outcome.stage.encode()] = records.encode(outcome)
    return fields


@given(nouns.chunks)
def test_chunk(chunk: Chunk):
    assert records.chunk_from(ENTRY, {b"chunk": records.encode(chunk)}) == chunk


@given(nouns.samples, passed, st.integers(1, 9))
def test_lease(sample: Sample, outcomes: tuple[Outcome, ...], attempt: int):
    fields = fields_of(sample, outcomes) | {b"image": b"1-2"}
    lease = records.lease_from(ENTRY, "caption", fields, attempt)

    assert lease == Lease(ENTRY, "caption", sample, "1-2", attempt, outcomes)


@given(nouns.samples, passed)
def test_caption(sample: Sample, outcomes: tuple[Outcome, ...]):
    caption = records.caption_from(ENTRY, fields_of(sample, outcomes))

    assert caption == Caption(ENTRY, sample, outcomes)


@given(nouns.samples, nouns.failures, st.lists(nouns.failures, max_size=2).map(tuple), passed)
def test_dead_letter(
    sample: Sample, why: Failure, earlier: tuple[Failure, ...], outcomes: tuple[Outcome, ...]
):
    fields = fields_of(sample, outcomes) | {b"why": records.encode(why)}
    if earlier:
        fields[b"earlier"] = records.encode(earlier)

    letter = records.dead_letter_from(ENTRY, fields)

    assert letter == DeadLetter(ENTRY, sample, why, earlier, outcomes)


@given(nouns.samples)
def test_record_is_json_for_everybody(sample: Sample):
    """The proxy, redis-cli and other languages read it too."""
    assert json.loads(records.encode(sample))["columns"] == sample.columns


@pytest.mark.parametrize("noun", [Sample("i", "d", "s", "c", "f"), Chunk("c", "d", "s", ("n",))])
def test_sampling_is_written_only_where_it_is_said(noun: Sample | Chunk):
    assert b"sampling" not in records.encode(noun)
    assert b'"sampling":{"top_k":3}' in records.encode(replace(noun, sampling={"top_k": 3}))


@given(nouns.samples)
def test_fields_that_a_newer_version_added_are_passed_over(sample: Sample):
    newer = json.loads(records.encode(sample)) | {"added": [1]}

    assert records.caption_from(ENTRY, {b"sample": json.dumps(newer).encode()}).sample == sample


def test_sample_of_the_first_stage_has_its_image_under_its_own_id():
    sample = Sample("id", "data", "shard", "chunk", "source")

    assert records.lease_from(ENTRY, "caption", fields_of(sample, ()), 1).image == ENTRY
