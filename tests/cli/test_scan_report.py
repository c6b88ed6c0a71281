"""What a scan says: what is wrong first, in bounded length, and nothing without a reason."""

import json
from pathlib import Path

import pytest

from caption_flow.audit.tally import Difference, Findings, Mended, PartsFound, Tally
from caption_flow.cli.scan_report import Report, as_json, sentences, verdict
from caption_flow.cli.scan_table import show
from caption_flow.dataset.census import Double

PARTS = PartsFound(
    published=2,
    rows=9,
    writing=(),
    half_published=(),
    abandoned=(),
    forgotten=(),
    gone={},
    unreadable=(),
)
SOUND = Tally(captioned=3)


def findings(chunks: dict[str, dict[str, Tally]], **changes: object) -> Findings:
    told = {
        "queue": True,
        "source": True,
        "plan_done": False,
        "chunks": chunks,
        "unnamed": 0,
        "parts": PARTS,
        "differences": (),
        "missing": (),
        "doubled": (),
    }
    return Findings(**{**told, **changes})


def report(found: Findings, **changes: object) -> Report:
    return Report("job", Path("data/job"), found, **{"mended": None, **changes})


def many(count: int, wrong: int = -1) -> dict[str, dict[str, Tally]]:
    """Shards of one chunk each, one of them with a loss."""
    lossy = Tally(captioned=2, missing=1)
    return {
        f"shard-{n:04}": {f"shard-{n:04}:0": lossy if n == wrong else SOUND} for n in range(count)
    }


def shown(capsys: pytest.CaptureFixture[str], found: Findings, *, every: bool = False) -> list[str]:
    show(report(found), every_chunk=every)
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_shards_are_listed_in_order(capsys: pytest.CaptureFixture[str]):
    lines = shown(capsys, findings(many(3)))

    assert [line.split()[0] for line in lines[2:5]] == ["shard-0000", "shard-0001", "shard-0002"]
    assert lines[0].split()[:2] == ["shard", "planned"]


def test_of_many_shards_those_that_do_not_balance_come_first(capsys: pytest.CaptureFixture[str]):
    lines = shown(capsys, findings(many(1000, wrong=900), missing=("x",)))

    assert lines[2].split()[:2] == ["shard-0900", "3"]
    assert "50 of 1,000 shards are listed; --json has all." in lines
    assert len(lines) < 70
    assert any(line.split()[:2] == ["total", "3,000"] for line in lines)


def test_chunks_that_balance_are_listed_only_when_asked(capsys: pytest.CaptureFixture[str]):
    found = findings(many(2, wrong=1), missing=("x",))

    few = shown(capsys, found)
    every = shown(capsys, found, every=True)

    assert [line.split()[0] for line in few if ":0 " in line] == ["shard-0001:0"]
    assert [line.split()[0] for line in every if ":0 " in line] == ["shard-0000:0", "shard-0001:0"]


def test_verdict_is_the_last_line(capsys: pytest.CaptureFixture[str]):
    found = findings(many(2))

    assert shown(capsys, found)[-1] == verdict(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"missing": ("a",), "unnamed": 2}, "2 missing"),
        ({"differences": (Difference("dead letters", 2, 1),)}, "1 wrong in the books"),
        ({"parts": ("half_published", ("p",))}, "1 half-published"),
        ({"parts": ("gone", {"p": 3})}, "1 gone from the folder"),
        ({"parts": ("unreadable", ("p", "q"))}, "2 unreadable"),
    ],
)
def test_each_thing_that_is_wrong_unbalances(changes: dict[str, object], said: str):
    if isinstance(changes.get("parts"), tuple):
        name, value = changes["parts"]
        changes = {"parts": PartsFound(**{**_fields(PARTS), name: value})}
    found = findings(many(1), **changes)

    assert not found.balanced
    assert verdict(found) == f"Not balanced: {said}."


def _fields(parts: PartsFound) -> dict[str, object]:
    return {name: getattr(parts, name) for name in parts.__struct_fields__}


@pytest.mark.parametrize("what", ["writing", "abandoned", "forgotten"])
def test_what_mends_itself_does_not_unbalance(what: str):
    parts = PartsFound(**{**_fields(PARTS), what: ("part-1",)})

    assert findings(many(1), parts=parts).balanced


def test_long_lists_are_cut():
    missing = tuple(f"m{n}" for n in range(20))
    doubled = tuple(Double(f"d{n}", ("p", "q")) for n in range(20))
    chunks = {"s": {"s:0": Tally(captioned=30, doubled=30, missing=3000)}}

    said = list(sentences(report(findings(chunks, missing=missing, doubled=doubled))))

    assert any("m4 and 2,995 more" in line for line in said)
    assert any("25 more" in line for line in said)
    assert len(said) < 12


def test_what_was_mended_is_said_with_what_was_not():
    mended = Mended(published=1, reissued=2, chunks=1, books_changed=True, left=("Not this.",))

    said = list(sentences(report(findings(many(1)), mended=mended)))

    assert "Mended: 1 part published, 2 samples fed again in 1 chunk, the books set right." in said
    assert said[-1] == "Not this."


def test_document_can_be_read_whatever_a_sample_is_called():
    """A source may name its samples by what is no text."""
    found = findings(many(1), missing=("\udc80.jpg",), unnamed=1)

    document = json.loads(as_json(report(found)))

    assert document["missing"] == ["\udc80.jpg"]
    assert document["totals"]["planned"] == 4
