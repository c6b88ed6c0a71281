"""Far files are read in few requests, and hardly more of them than is wanted."""

import random

import pytest

from feeders.files.ahead import Ahead
from feeders.files.port import Facts

DATA = random.Random(1).randbytes(1 << 20)


class Far:
    """A file that counts how it is read."""

    name = where = "far"

    def __init__(self) -> None:
        self.reads: list[int] = []

    def facts(self) -> Facts:
        return Facts(len(DATA), "1")

    def read(self, start: int, length: int) -> bytes:
        assert start + length <= len(DATA)
        self.reads.append(length)
        return DATA[start : start + length]


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def ahead(far: Far) -> Ahead:
    made = Ahead(far)  # type: ignore[arg-type]
    made.facts()
    return made


@pytest.mark.parametrize("places", [1, 3])
def test_reading_on_asks_ever_less_often(far: Far, ahead: Ahead, places: int):
    part = len(DATA) // 4
    for at in range(0, part, 1000):
        for place in range(places):
            start = place * part + at
            assert ahead.read(start, 1000) == DATA[start : start + 1000]

    assert len(far.reads) <= places * 12
    assert sum(far.reads) <= places * 3 * part


def test_what_is_read_here_and_there_is_read_exactly(far: Far, ahead: Ahead):
    for start in (900_000, 5, 500_000, 0, 700_000):
        assert ahead.read(start, 4) == DATA[start : start + 4]

    assert far.reads == [4] * 5


def test_what_is_held_is_not_read_again(far: Far, ahead: Ahead):
    ahead.read(1000, 1000)

    assert ahead.read(1200, 300) == DATA[1200:1500]
    assert far.reads == [1000]


def test_reading_ahead_ends_where_the_file_does(far: Far, ahead: Ahead):
    half = len(DATA) // 2
    ahead.read(0, half)

    assert ahead.read(half, 10) == DATA[half : half + 10]
    assert ahead.read(half + 10, half - 10) == DATA[half + 10 :]
    assert far.reads == [half, half]


def test_any_reads_give_what_is_there(ahead: Ahead):
    chance = random.Random(2)
    for _ in range(2000):
        start = chance.choice([0, 1000, 2000]) + chance.randrange(3000)
        length = chance.randrange(1, 2000)
        assert ahead.read(start, length) == DATA[start : start + length]
