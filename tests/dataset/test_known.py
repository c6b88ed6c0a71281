"""Known: which samples stand in a part already, whatever they are called."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.known import Known, known_in
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import SourceError
from tests.made import caption

IDS = st.lists(st.text(st.characters(), max_size=4), max_size=20)
AGREED = ColumnSchema(("captions",))


def prepared(folder: PartFolder, *numbers: int) -> OpenPart:
    """A part that is complete under its temporary name."""
    part = folder.open(AGREED)
    part.append([caption(n) for n in numbers])
    part.prepare()
    return part


@settings(deadline=None)
@given(known=IDS, asked=IDS)
def test_unknown_are_those_never_told_in_the_order_asked(known: list[str], asked: list[str]):
    assert Known(known).unknown(asked) == [id_ for id_ in asked if id_ not in set(known)]


@pytest.mark.parametrize("name", ["caf\udce9.jpg", "\ud800.jpg", "a\0b", ""])
def test_a_name_that_is_no_text_is_found(name: str):
    assert name in Known([name])


def test_names_that_differ_in_a_byte_that_is_no_text_are_two():
    assert "\udc81" not in Known(["\udc80"])


def test_a_set_counts_its_ids():
    assert len(Known(["a", "b"])) == 2


@settings(deadline=None)
@given(first=IDS, more=IDS, asked=IDS)
def test_a_set_with_more_ids_knows_both(first: list[str], more: list[str], asked: list[str]):
    grown = Known(first).with_more(more)

    assert grown.unknown(asked) == Known([*first, *more]).unknown(asked)


def test_a_set_does_not_grow_by_ids_it_has():
    assert len(Known(["a", "b"]).with_more(["b", "a"])) == 2


def test_a_hundred_thousand_ids_take_few_bytes_each():
    tracemalloc.start()
    try:
        known = Known(f"{n:09}.jpg" for n in range(100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(known) == 100_000
    assert peak < 100_000 * 25


def test_published_samples_are_known(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    prepared(folder, 1).publish()

    assert known_in(folder).unknown(["00001.jpg", "00002.jpg"]) == ["00002.jpg"]


def test_samples_of_a_recorded_part_are_known_before_it_has_its_name(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    part = prepared(folder, 1)

    assert "00001.jpg" in known_in(folder, [part.name])
    part.discard()


def test_samples_of_an_unrecorded_part_are_not_known(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    prepared(folder, 1).abandon()

    assert "00001.jpg" not in known_in(folder)


def test_given_up_samples_are_known(tmp_path: Path):
    assert "bad.jpg" in known_in(PartFolder(tmp_path, "books"), [], ["bad.jpg"])


def test_a_recorded_part_that_is_nowhere_is_an_error_with_a_way_out(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")

    with pytest.raises(SourceError, match=r"lacks 1 finished parts, such as part-x\. Set"):
        known_in(folder, ["part-x"])


def test_a_set_is_not_copied_for_ids_that_it_has():
    known = Known(["a", "b"])

    assert known.with_more(["b"]) is known
