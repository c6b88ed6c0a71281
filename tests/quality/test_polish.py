"""What polish does to a caption, and that doing it twice changes nothing more."""

import time
from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.config.quality import Polish
from caption_flow.quality import polished

NAMES: tuple[Polish, ...] = get_args(Polish)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This image shows a cat.", "A cat."),
        ("the image depicts two dogs", "two dogs"),
        ("The image clearly shows us a cat.", "A cat."),
        ("The image provided shows a cat.", "A cat."),
        ("The provided image shows: a cat.", "A cat."),
        ("The image shows that there is a cat.", "There is a cat."),
        ("In this picture, we can see a man.", "A man."),
        ("In the photo, a man waves.", "A man waves."),
        ("In this image there are two men.", "There are two men."),
        ("Here, we see a cat.", "A cat."),
        ("An image of a cat.", "A cat."),
        ("This is a photo of a cat.", "A cat."),
        ("This image shows a picture of a cat.", "A cat."),
        ("This image shows we can see a cat.", "A cat."),
        ("  The\nimage\tshows\n\na cat.", "A cat."),
        ("This image shows iPhone cases.", "iPhone cases."),
        ('The photo shows "stop" signs.', '"stop" signs.'),
        ("This image shows", "This image shows"),
        ("This image shows.", "This image shows."),
        ("This image shows ...", "This image shows ..."),
        ("The painting shows a cat.", "The painting shows a cat."),
        ("The image shows how bread is baked.", "The image shows how bread is baked."),
        ("You find yourself in a maze.", "You find yourself in a maze."),
        ("You can see for miles.", "You can see for miles."),
        ("This image shows off a car.", "This image shows off a car."),
        ("In the picture frame hangs a hat.", "In the picture frame hangs a hat."),
        ("The image of a saint on a coin.", "The image of a saint on a coin."),
        ("A man shows the image to a child.", "A man shows the image to a child."),
        ("", ""),
    ],
)
def test_openings_are_stripped(text: str, expected: str):
    assert polished(text, ["strip_openings"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat", "A cat."),
        ("A cat,", "A cat."),
        ("A cat —  ", "A cat."),
        ("A cat.", "A cat."),
        ("A cat…", "A cat…"),
        ("ねこ｡", "ねこ｡"),
        ("ድመት።", "ድመት።"),
        ("ကြောင်။", "ကြောင်။"),
        ("ឆ្មា។", "ឆ្មា។"),
        ("Is it a cat?", "Is it a cat?"),
        ('He says "hi!"', 'He says "hi!"'),
        ('A sign that says "stop"', 'A sign that says "stop".'),
        ("A cat (black).", "A cat (black)."),
        ("A cat (black)", "A cat (black)."),
        ("**A cat.**", "**A cat.**"),
        ("一只猫", "一只猫。"),
        ("一只猫。", "一只猫。"),
        ("一只猫\uff01", "一只猫\uff01"),
        ("고양이", "고양이."),
        ("बिल्ली।", "बिल्ली।"),
        ("", ""),
        (" - ", " - "),
    ],
)
def test_full_stop_ends_a_caption(text: str, expected: str):
    assert polished(text, ["full_stop"]) == expected


def test_steps_are_done_in_their_order():
    assert polished("  This image shows\n a  cat ", NAMES) == "A cat."
    assert polished("  a  cat ", ["trim"]) == "a  cat"
    assert polished(" a \n\n cat ", ["collapse_whitespace"]) == " a cat "
    assert polished(" a  cat ", []) == " a  cat "


PIECES = st.lists(
    st.sampled_from(
        [
            *("This image shows ", "in this picture, ", "we can see ", "an image of ", "that "),
            *("a cat", "ß", "ı", "İ", "猫", "iPhone", " ", "\n", "\u00a0", "\u2003", "\x1f"),
            *(".", "…", "。", ",", "—", '"', "”", ")", "*", ":", "(", "how "),
        ]
    ),
    max_size=10,
).map("".join)


@given(PIECES | st.text(), st.sampled_from([p for n in range(5) for p in permutations(NAMES, n)]))
@settings(max_examples=500, deadline=None)
def test_polish_done_twice_is_as_done_once(text: str, steps: tuple[Polish, ...]):
    once = polished(text, steps)

    assert polished(once, steps) == once


@pytest.mark.parametrize("piece", ["we can see ", "This image shows that ", ",", " ", "(", "a. "])
def test_long_text_is_polished_in_no_time(piece: str):
    text = "A" + piece + piece * (100_000 // len(piece)) + "a"
    begun = time.process_time()
    polished(text, NAMES)
    polished(text[1:], NAMES)

    assert time.process_time() - begun < 1.0  # what is quadratic takes minutes


@pytest.mark.parametrize("opening", ["This image shows", "The photo shows that", "In this image,"])
def test_long_white_space_after_an_opening_takes_no_time(opening: str):
    text = opening + " " * 10_000 + "!"
    begun = time.process_time()
    assert polished(text, ["strip_openings"]) == text

    assert time.process_time() - begun < 1.0  # what is quadratic takes seconds
