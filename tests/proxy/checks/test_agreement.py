"""How alike captions are: what the measure promises, whatever it is given."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.proxy.checks.agreement import MOST_CHARACTERS, agreement, likeness

texts = st.lists(st.text(max_size=60), max_size=4)
fields = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4)
words = st.lists(st.sampled_from(["red", "blue", "circle", "square", "a"]), min_size=1)


@given(texts, texts, fields, fields)
def test_measure_is_symmetric_and_bounded(ours, theirs, ours_too, theirs_too):
    found = agreement(ours, theirs, ours_too, theirs_too)

    assert 0 <= found <= 1
    assert found == pytest.approx(agreement(theirs, ours, theirs_too, ours_too))


@given(texts, fields)
def test_what_is_equal_agrees_wholly(ours, ours_too):
    assert agreement(ours, ours) == pytest.approx(1)
    assert agreement(ours, [], ours_too, ours_too) == 1 or not ours_too


@given(words, words)
def test_texts_without_a_common_word_do_not_agree(ours, theirs):
    shared = " ".join(ours), " ".join(word + "x" for word in theirs)
    assert likeness(*shared) == 0


@given(words, st.randoms())
def test_order_and_case_do_not_count(ours, chance):
    theirs = list(ours)
    chance.shuffle(theirs)
    assert likeness(" ".join(ours), ", ".join(theirs).upper()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "other", "least", "most"),
    [
        ("A small red circle.", "a small red circle", 1, 1),
        ("a small red circle", "a small blue circle", 0.7, 0.8),
        ("a small red circle", "lorem ipsum dolor", 0, 0),
        (
            "a red circle",
            "a red circle " + "word " * 60,
            0,
            0.1,
        ),
        ("小さな赤い円", "小さな青い円", 0.6, 0.9),
        ("", "", 1, 1),
        ("", "a circle", 0, 0),
        ("!", "?", 0, 0),
    ],
)
def test_likeness_of_texts(text, other, least, most):
    assert least <= likeness(text, other) <= most


def test_each_prompt_is_compared_with_its_own():
    assert agreement(["red circle", "blue sky"], ["blue sky", "red circle"]) == 0
    assert agreement(["red circle", "blue sky"], ["red circle"]) == pytest.approx(0.75)


def test_fields_count_by_their_values():
    ours, theirs = {"shape": "circle", "count": 2}, {"shape": "circle", "count": 3}
    assert agreement(["{}"], ["{}"], ours, theirs) == 0.5
    assert agreement(["{}"], ["{}"], ours, {}) == 0


@pytest.mark.parametrize("piece", ["a", "a b ", "円", "\u0300", "ß\n"])
def test_huge_texts_take_no_longer_than_their_bound(piece):
    huge = piece * (50 * MOST_CHARACTERS)
    began = time.monotonic()

    found = agreement([huge] * 1000, [huge + "x"] * 999)

    assert 0 <= found <= 1
    assert time.monotonic() - began < 5
