"""SIGKILL at any step: the same command goes on, and makes what it would have made at once."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.command import exported, files, refused
from tests.export.dying import Exports, exports
from tests.export.makers import plain

FORMATS = {
    "jsonl": ("--explode",),
    "csv": ("--pick", "random:7", "--limit", "6"),
    "json": ("--where", "len(captions) > 1"),
    "txt": (),
    "parquet": ("--rows-per-file", "4"),
}
ONCE = ("jsonl", "csv", "parquet")  # are refused where they are already
MOST_KILLS = 300


@pytest.fixture(scope="module")
def dying() -> Iterator[Exports]:
    with exports() as started:
        yield started


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some parts in which samples come again, have several captions, and have none."""
    folder = tmp_path_factory.mktemp("made") / "photos"
    for part in range(3):
        rows = [
            {
                "id": f"{n % 3}/{n % 9}.jpg",
                "captions": [f"{part}.{k}" for k in range(n % 4)],
            }
            for n in range(part * 4, part * 4 + 4)
        ]
        plain(folder, part, rows)
    return folder


@pytest.fixture(scope="module")
def whole(parts: Path) -> dict[str, dict[str, bytes]]:
    """What each format comes to where nothing happens."""
    made = {}
    for name, more in FORMATS.items():
        above = parts.parent / name
        exported(parts, "--format", name, "-o", above / "out", *more)
        made[name] = files(above)
    return made


def complete(above: Path, wanted: dict[str, bytes]) -> None:
    """Check that all that has a final name is as it shall be."""
    there = {name: made for name, made in files(above).items() if "/." not in f"/{name}"}
    assert there.items() <= wanted.items()


@pytest.mark.parametrize("name", FORMATS)
def test_export_that_is_killed_time_and_again_makes_the_same(
    name: str, dying: Exports, parts: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
):
    """Each time one step later, counted from where it goes on."""
    arguments = (parts, "--format", name, "-o", tmp_path / "out", *FORMATS[name])
    for step in range(1, MOST_KILLS):
        end = dying.run(*arguments, step=step)
        complete(tmp_path, whole[name])
        if end.code != -signal.SIGKILL:
            break

    assert end.code == 0
    assert step > 8
    assert files(tmp_path) == whole[name]


def test_export_in_all_formats_goes_on_with_those_that_are_missing(
    dying: Exports, parts: Path, tmp_path: Path
):
    steps = dying.run(parts, "--format", "all", "-o", tmp_path / "whole").steps
    for step in range(steps // 4, steps - 10, steps // 4):
        output = tmp_path / str(step)
        arguments = (parts, "--format", "all", "-o", output)
        assert dying.run(*arguments, step=step).code == -signal.SIGKILL
        assert dying.run(*arguments).code == 0
        assert but_lance(output) == but_lance(tmp_path / "whole")


def but_lance(folder: Path) -> dict[str, bytes]:
    """All files but those to which Lance gives names of its own."""
    return {name: data for name, data in files(folder).items() if ".lance/" not in name}


@pytest.mark.parametrize("name", ["jsonl", "txt", "parquet"])
def test_export_that_is_killed_at_one_of_its_last_steps_makes_the_same(
    name: str, dying: Exports, parts: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
):
    """Where files get their names, and the draft is deleted."""
    steps = dying.run(parts, "--format", name, "-o", tmp_path / "all" / "out", *FORMATS[name]).steps
    for step in range(steps, steps - 8, -1):
        above = tmp_path / str(step)
        arguments = (parts, "--format", name, "-o", above / "out", *FORMATS[name])

        assert dying.run(*arguments, step=step).code == -signal.SIGKILL
        complete(above, whole[name])
        finished = not list(above.rglob("journal.json"))  # all but an empty folder is gone
        assert dying.run(*arguments).code == (2 if finished and name in ONCE else 0)
        assert files(above) == whole[name]


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_what_is_overwritten_is_there_until_the_new_is(
    name: str, dying: Exports, parts: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
):
    small = ("--rows-per-file", 9) if name == "parquet" else ("--limit", 2)
    exported(parts, "--format", name, "-o", tmp_path / "out", *small)
    before = files(tmp_path)
    arguments = (parts, "--format", name, "-o", tmp_path / "out", "--overwrite", *FORMATS[name])
    for step in range(1, MOST_KILLS, 3):
        end = dying.run(*arguments, step=step)
        there = {one: made for one, made in files(tmp_path).items() if "/." not in f"/{one}"}
        assert there or name == "parquet"  # of which never two sets are there
        assert not {*before, *whole[name]}.issubset(there) or name == "jsonl"
        assert there.items() <= before.items() | whole[name].items()
        if end.code != -signal.SIGKILL:
            break

    assert files(tmp_path) == whole[name]


def killed_midway(dying: Exports, parts: Path, output: Path, *more: str) -> None:
    """Kill an export when it has noted how far it is."""
    assert dying.run(parts, "-o", output, *more, step=25).code == -signal.SIGKILL
    said = (output.with_name(f".{output.name}.export") / "journal.json").read_bytes()
    assert b'"finished":false' in said
    assert b'"rows":0' not in said


def test_another_wish_begins_anew(dying: Exports, parts: Path, tmp_path: Path):
    output = tmp_path / "out.jsonl"
    killed_midway(dying, parts, output)
    exported(parts, "-o", output, "--limit", 2)

    assert len(output.read_bytes().splitlines()) == 2
    assert files(tmp_path).keys() == {"out.jsonl"}


def test_parts_that_changed_begin_anew(dying: Exports, tmp_path: Path):
    folder = tmp_path / "photos"
    for number in range(4):
        plain(folder, number, [{"id": f"{number}.jpg", "captions": ["old"]}])
    output = tmp_path / "made" / "out.jsonl"
    killed_midway(dying, folder, output)
    plain(folder, 0, [{"id": "0.jpg", "captions": ["new"]}])
    exported(folder, "-o", output)

    assert output.read_bytes().count(b"old") == 3
    assert output.read_bytes().count(b"new") == 1


def test_parts_that_came_meanwhile_are_left_out_and_told(dying: Exports, tmp_path: Path):
    folder = tmp_path / "photos"
    for number in range(4):
        plain(folder, number, [{"id": f"{number}.jpg", "captions": ["old"]}])
    output = tmp_path / "made" / "out.jsonl"
    killed_midway(dying, folder, output)
    plain(folder, 9, [{"id": "9.jpg", "captions": ["new"]}])
    done = exported(folder, "-o", output)

    assert output.read_bytes().count(b"\n") == 4
    assert b"new" not in output.read_bytes()
    assert done.err == (
        "Parts that came since this export began, 1, are not in it: "
        "export again, with --overwrite.\n"
    )


def test_draft_that_has_lost_which_parts_it_is_of_begins_anew(
    dying: Exports, parts: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
):
    """As where the power was cut."""
    killed_midway(dying, parts, tmp_path / "out", *FORMATS["jsonl"])
    (tmp_path / ".out.export" / "parts.json").write_bytes(b"")
    exported(parts, "-o", tmp_path / "out", *FORMATS["jsonl"])

    assert files(tmp_path) == whole["jsonl"]


def test_output_that_was_moved_away_once_finished_is_told(
    dying: Exports, parts: Path, tmp_path: Path
):
    """By who was killed before it could delete its draft."""
    output = tmp_path / "out"
    steps = dying.run(parts, "-o", tmp_path / "other").steps
    assert dying.run(parts, "-o", output, step=steps - 1).code == -signal.SIGKILL
    output.unlink()

    told = refused(parts, "-o", output, code=1)

    assert f"{output} is gone since it was finished. Delete {tmp_path}/.out.export" in told
