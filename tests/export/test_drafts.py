"""Drafts: what a killed export leaves misleads none that comes after it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.export.draft import Blocked, Draft
from tests.export.command import exported, files, refused
from tests.export.dying import Exports, exports
from tests.export.makers import plain

OTHER = ("--where", "id != 'x'")
MOST_STEPS = 60


@pytest.fixture(scope="module")
def dying() -> Iterator[Exports]:
    with exports() as started:
        yield started


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for part in range(3):
        rows = [{"id": f"{n}.jpg", "captions": [str(n)]} for n in range(part * 4, part * 4 + 4)]
        plain(tmp_path / "made" / "photos", part, rows)
    return tmp_path / "made" / "photos"


@pytest.mark.parametrize("name", ["jsonl", "txt", "parquet"])
def test_a_draft_that_was_given_up_is_never_gone_on_with(
    name: str, dying: Exports, parts: Path, tmp_path: Path
):
    """Another wish clears it and is killed while it does; then the first comes again."""
    exported(parts, "--format", name, "-o", tmp_path / "whole" / "out")
    for step in range(2, MOST_STEPS, 7):
        arguments = (parts, "--format", name, "-o", tmp_path / str(step) / "out")
        for killed in range(1, 12, 2):
            if dying.run(*arguments, step=25).code != -signal.SIGKILL:
                break
            dying.run(*arguments, *OTHER, step=killed)
        end = dying.run(*arguments, "--overwrite")

        assert end.code == 0
        assert files(tmp_path / str(step)) == files(tmp_path / "whole")


def test_large_groups_of_rows_are_gone_on_with_in_their_middle(dying: Exports, tmp_path: Path):
    """Rows of a group are read from its start again, and none is written twice."""
    rows = [{"id": f"{n}.jpg", "captions": [str(n)]} for n in range(24_000)]
    (tmp_path / "photos").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "photos" / "part-0.parquet")
    arguments = (tmp_path / "photos", "--export-column", "captions", "-o", tmp_path / "out.jsonl")
    for step in range(8, 200, 9):
        if dying.run(*arguments, step=step).code != -signal.SIGKILL:
            break
    else:
        pytest.fail("It did not come to its end.")

    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    found = [json.loads(line)["id"] for line in lines]
    assert found == [row["id"] for row in rows]


def test_a_draft_that_was_deleted_meanwhile_is_locked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who waited for a folder that its holder deletes holds no lock on anything."""
    path, real = tmp_path / ".out.export", os.open
    first = Draft(path, "a")
    first.__enter__()

    def open_(*args: object, **kwargs: object) -> int:
        descriptor = real(*args, **kwargs)  # type: ignore[arg-type]
        if path.exists() and first.path.exists() and not opened:
            opened.append(descriptor)
            first.remove()
            first.__exit__()
        return descriptor

    opened: list[int] = []
    monkeypatch.setattr(os, "open", open_)
    with Draft(path, "b"):
        monkeypatch.setattr(os, "open", real)
        with pytest.raises(Blocked, match="writes here already"):
            Draft(path, "c").__enter__()


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_what_came_to_be_there_since_is_not_overwritten(
    name: str, dying: Exports, parts: Path, tmp_path: Path
):
    output = tmp_path / "out"
    assert dying.run(parts, "--format", name, "-o", output, step=25).code == -signal.SIGKILL
    output.write_text("mine")

    refused(parts, "--format", name, "-o", output)
    assert output.read_text() == "mine"


def test_parts_that_changed_leave_no_half_of_a_finished_set(
    dying: Exports, parts: Path, tmp_path: Path
):
    """It is named to its end, of the parts as they were."""
    words = ("--format", "parquet", "--rows-per-file", "3", "-o")
    exported(parts, *words, tmp_path / "whole")
    steps = dying.run(parts, *words, tmp_path / "counted").steps
    for step in range(steps - 14, steps - 4, 2):
        output = tmp_path / str(step)
        assert dying.run(parts, *words, output, step=step).code == -signal.SIGKILL
        there = bool(list(output.glob("train-*")))
        for part in parts.iterdir():
            os.utime(part)
        if there:
            assert dying.run(parts, *words, output).code == 0
            assert files(output) == files(tmp_path / "whole")


def test_no_output_is_made_among_the_parts(parts: Path):
    before = files(parts)
    [part, *_] = parts.iterdir()

    for words in (
        ("-o", part, "--overwrite"),
        ("-o", parts / "x"),
        ("--format", "txt", "-o", parts),
    ):
        assert "in the folder of the parts" in refused(parts, *words)
    assert files(parts) == before
