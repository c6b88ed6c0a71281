"""Selection: the same samples each time, more of them when more is asked for."""

from pathlib import Path

import pytest

from caption_flow.feed.selection import Selection
from tests.made import folder_source, pictures
from tests.roles import Roles, ends

IDS = [f"{number:05}.jpg" for number in range(10_000)]


def drawn(selection: Selection) -> set[str]:
    taken = selection.drawn(IDS, selected=0)
    return {id_ for id_, takes in zip(IDS, taken, strict=True) if takes}


def test_nothing_said_is_everything():
    assert drawn(Selection()) == set(IDS)


def test_a_share_is_about_that_share():
    assert len(drawn(Selection(share=0.1))) == pytest.approx(1000, rel=0.15)


def test_a_larger_share_has_all_of_a_smaller():
    assert drawn(Selection(share=0.01)) < drawn(Selection(share=0.1))


def test_a_limit_counts_what_the_share_takes():
    assert len(drawn(Selection(share=0.1, limit=50))) == 50


SOME = [
    Selection(limit=limit, shards=shards, share=share)
    for limit in (None, 3, 9)
    for shards in ((), ("a",), ("a", "b"))
    for share in (1.0, 0.5)
]


def of_shards(selection: Selection) -> set[str]:
    """What is taken of two shards, one after the other."""
    taken: set[str] = set()
    for shard in filter(selection.admits_shard, ("a", "b")):
        ids = [f"{shard}/{number}" for number in range(10)]
        drawn = selection.drawn(ids, len(taken))
        taken |= {id_ for id_, takes in zip(ids, drawn, strict=True) if takes}
    return taken


@pytest.mark.parametrize("one", SOME, ids=str)
def test_what_a_selection_covers_it_takes(one: Selection):
    covered = [other for other in SOME if one.covers(other)]

    assert one in covered
    assert all(of_shards(other) <= of_shards(one) for other in covered)


def test_everything_covers_any_selection():
    assert all(Selection().covers(one) for one in SOME)


async def planned(roles: Roles, root: Path, selection: Selection) -> list[str]:
    await ends(roles.planner(folder_source(root), selection=selection).run())
    return sorted(await roles.planned())


async def test_a_limit_takes_the_first(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(9))

    assert await planned(roles, root, Selection(limit=5)) == IDS[:5]


async def test_the_same_limit_again_adds_nothing(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(9))
    await planned(roles, root, Selection(limit=5))

    assert await planned(roles, root, Selection(limit=5)) == IDS[:5]


async def test_without_a_limit_the_rest_follows(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(9))
    await planned(roles, root, Selection(limit=5))

    assert await planned(roles, root, Selection()) == IDS[:9]


async def test_shards_are_chosen_by_pattern(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(3), "train/a")
    pictures(root, range(3, 5), "train/b")
    pictures(root, range(5, 9), "test")

    assert await planned(roles, root, Selection(shards=("train/*",))) == IDS[:5]


async def test_who_wants_less_takes_over_a_plan_of_more_as_it_was_begun(
    roles: Roles, tmp_path: Path
):
    """A plan belongs to who began it; what others want they plan after it."""
    root = pictures(tmp_path / "in", range(40))
    queue = roles.feed_queue()
    await queue.plan("", '{"word":"w"}', None, backlog=9, done=False)

    assert await planned(roles, root, Selection(limit=5)) == IDS[:40]
