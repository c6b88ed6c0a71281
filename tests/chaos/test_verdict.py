"""Chaos, the equation: it holds for what is right, and names each sample for which it fails."""

import pytest
from msgspec.structs import replace

from tests.chaos.contributors import owner
from tests.chaos.images import Fed, draw
from tests.chaos.verdict import Found, Letter, Row, Verdict, judge, unseen

FED = Fed(
    good={"a": "a" * 64, "b": "b" * 64, "c": "c" * 64},
    bad={"x": "empty", "y": "truncated"},
)


def row(id_: str, digest: str = "", of: str = "") -> Row:
    """The row of a sample; `digest` and `of` begin with the letters of other images."""
    return Row(id_, (digest or id_) * 64, f"simulated caption {(of or id_) * 32} quiet", 1)


ROWS = [row("a"), row("b"), row("c")]
LETTERS = [Letter("x", "empty"), Letter("y", "truncated")]
SOUND = Found(ROWS, LETTERS)


def test_equation_holds_for_what_is_right():
    assert judge(FED, SOUND) == Verdict([], [], [])


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (Found(ROWS[1:], LETTERS), "a"),
        (Found(ROWS, LETTERS[1:]), "x"),
        (Found(ROWS[1:], [*LETTERS, Letter("a", "worker_died")]), "a, given up: worker_died"),
    ],
    ids=["a row", "a dead letter", "a good sample that was given up"],
)
def test_lost_sample_is_named(found: Found, lost: str):
    assert judge(FED, found).lost == [lost]


@pytest.mark.parametrize(
    ("found", "doubled"),
    [
        (Found([*ROWS, row("a")], LETTERS), "a, 2 times"),
        (Found(ROWS, [*LETTERS, LETTERS[0]]), "x, 2 times"),
        (Found(ROWS, [*LETTERS, Letter("a", "worker_died")]), "a, 2 times"),
    ],
    ids=["a row", "a dead letter", "a row that is given up as well"],
)
def test_doubled_sample_is_named(found: Found, doubled: str):
    assert judge(FED, found).doubled == [doubled]


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (Found([*ROWS[1:], row("a", of="b")], LETTERS), "a"),
        (Found([*ROWS[1:], row("a", digest="b", of="b")], LETTERS), "a"),
        (Found([*ROWS[1:], replace(ROWS[0], contributor="ada")], LETTERS), "a"),
        (Found([*ROWS[1:], replace(ROWS[0], worker="ada/host-remote-0-0a1b2c")], LETTERS), "a"),
        (Found([*ROWS, row("x")], LETTERS), "x"),
        (Found([*ROWS, row("z")], LETTERS), "z"),
        (Found(ROWS, [LETTERS[0], Letter("y", "worker_died")]), "y"),
    ],
    ids=[
        "a caption of another image",
        "a row of another image",
        "a contributor of a row of ours",
        "no contributor of a row of theirs",
        "a caption of a bad image",
        "a row of nothing that went in",
        "a bad image that was given up for another reason",
    ],
)
def test_wrong_sample_is_named(found: Found, wrong: str):
    [said] = judge(FED, found).wrong

    assert said.split()[0].rstrip(",") == wrong


@pytest.mark.parametrize(
    ("worker", "whose"),
    [
        ("host-worker-1-0a1b2c", ""),
        ("ada/host-remote-3-0a1b2c", "ada"),
        ("cy: 3/host-remote-2-0a1b2c", "cy: 3"),
        ("bob/host-remote-3-0a1b2c", None),
        ("ada/host-worker-3-0a1b2c", None),
    ],
)
def test_remote_worker_belongs_to_whom_its_token_names(worker: str, whose: str | None):
    assert owner(worker) == whose


def test_equation_overlooks_nothing_that_is_put_into_what_was_found():
    assert unseen(FED, SOUND) == []


def test_what_is_overlooked_is_told():
    """An equation that fails anyhow tells nothing of what else may be wrong."""
    without = replace(SOUND, letters=[])

    assert unseen(FED, without) == ["a lost dead letter"]


def test_no_two_images_are_alike_and_one_in_two_hundred_is_bad(tmp_path):
    fed = draw(tmp_path, 1000, seed=3)

    assert len(set(fed.good.values())) == len(fed.good) == 995
    assert sorted(fed.bad.values()) == ["empty", "empty", "not_an_image", "truncated", "truncated"]
    assert len(list(tmp_path.rglob("*.jpg"))) == 1000
