"""Planned: the walk ends where the plan stands, whatever became of the files there."""

from collections.abc import Iterator, Sequence

import pytest

from caption_flow.audit.planned import planned
from caption_flow.dataset.source import sample_id
from caption_flow.feed.position import Position
from caption_flow.feed.selection import Selection
from caption_flow.model import Listed, Raw

SHARDS = {"z": "ba", "a": "dce", "m": "", "b": "xy"}  # in an order that no sorting gives


class Ordered:
    """A source whose order is its own."""

    dataset = "listed"

    def __init__(self, gone: Sequence[str] = ()) -> None:
        self._gone = gone

    def shards(self, start: str | None = None) -> Iterator[str]:
        order = list(SHARDS)
        first = order.index(start) if start else 0
        yield from (shard for shard in order[first:] if shard not in self._gone)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        order = SHARDS[shard]
        first = order.index(after.name) + 1 if after else 0
        yield from (Listed(name) for name in order[first:] if f"{shard}/{name}" not in self._gone)

    def samples(self, shard: str, names: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        raise NotImplementedError


def ids(position: Position | None, *gone: str) -> list[str]:
    runs = planned(Ordered(gone), position)
    return [sample_id(run.shard, name) for run in runs for name in run.names]


ALL = ["z/b", "z/a", "a/d", "a/c", "a/e", "b/x", "b/y"]


def test_nothing_is_planned_at_the_start():
    assert ids(Position()) == []


@pytest.mark.parametrize("position", [None, Position(shard="b", after="y", done=True)])
def test_all_is_planned_when_the_plan_is_done_or_nobody_knows(position: Position | None):
    assert ids(position) == ALL


@pytest.mark.parametrize(("number", "id_"), list(enumerate(ALL, start=1)))
def test_what_is_planned_ends_with_the_last_name(number: int, id_: str):
    shard, _, name = id_.partition("/")

    assert ids(Position(shard=shard, after=name)) == ALL[:number]


def test_last_name_may_be_gone():
    assert ids(Position(shard="a", after="c"), "a/c") == ["z/b", "z/a", "a/d"]


def test_last_shard_may_be_gone():
    assert ids(Position(shard="a", after="c"), "a") == ["z/b", "z/a"]


def test_all_shards_from_the_last_on_may_be_gone():
    assert ids(Position(shard="b", after="x"), "b") == ["z/b", "z/a", "a/d", "a/c", "a/e"]


def test_runs_say_where_in_their_shard_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.audit.planned._NAMES", 2)

    found = [(run.shard, run.place, run.names) for run in planned(Ordered(), None)]

    assert found == [
        ("z", 0, ("b", "a")),
        ("a", 0, ("d", "c")),
        ("a", 2, ("e",)),
        ("b", 0, ("x", "y")),
    ]


def taken(selection: Selection) -> list[str]:
    runs = list(planned(Ordered(), Position(done=True, selection=selection)))
    return [
        sample_id(run.shard, name)
        for run in runs
        for name, wanted in zip(run.names, run.wanted, strict=True)
        if wanted
    ]


def test_what_a_plan_leaves_out_is_not_planned():
    assert taken(Selection(limit=4)) == ALL[:4]
    assert taken(Selection(shards=("[ab]",))) == ALL[2:]
    assert taken(Selection(shards=("[ab]",), limit=4)) == ALL[2:6]
