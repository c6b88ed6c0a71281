"""Quality: texts that go round in circles.

A loop is a piece that stands again and again up to the end of the text, as when a model finds no
way out; a sentence may also come back with others between.
"""

import re
from collections import Counter
from itertools import pairwise

_TAIL = 4000  # characters in which a loop shows, from the end
_ROUNDS = 3  # times that a piece stands there, at least
_LOOP = 50  # characters of all rounds together, at least: "ha ha ha" may stand on a sign
_SENTENCE = 12  # characters of a sentence that counts, at least
_TIMES = 3  # times that it may not stand in a text; twice, where nothing stands between
_ENDS = re.compile(r"[.!?。\uff01\uff1f…\n]+")


def is_repetition(text: str) -> bool:
    """Tell whether a text ends in a loop, or says a sentence over and over."""
    return _loops(text) or _repeats_a_sentence(text)


def _loops(text: str) -> bool:
    tail = " ".join(text[-_TAIL:].casefold().split()).rstrip(" .,;:!?…")
    same = _overlaps(tail[::-1])
    return any(
        period + same[period] >= max(_LOOP, _ROUNDS * period) for period in range(1, len(same))
    )


def _overlaps(text: str) -> list[int]:
    """Tell for each place how much from there on is as from the start (the Z-function)."""
    size = len(text)
    same = [0] * size
    left = right = 0  # the stretch furthest to the right that is known to be as the start
    for place in range(1, size):
        if place < right:
            same[place] = min(right - place, same[place - left])
        while place + same[place] < size and text[same[place]] == text[place + same[place]]:
            same[place] += 1
        if place + same[place] > right:
            left, right = place, place + same[place]
    return same


def _repeats_a_sentence(text: str) -> bool:
    pieces = (" ".join(piece.split()) for piece in _ENDS.split(text.casefold()))
    sentences = [piece for piece in pieces if piece]
    counted = Counter(piece for piece in sentences if len(piece) >= _SENTENCE)
    often = any(times >= _TIMES for times in counted.values())
    return often or any(one == two and one in counted for one, two in pairwise(sentences))
