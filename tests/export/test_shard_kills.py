"""SIGKILL at any step of exports of tars, indexes and Lance: the same command goes on."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lance
import pytest

from tests.export.command import exported, files
from tests.export.dying import Exports, exports
from tests.export.shard_makers import SHARDS, key_of, make_tars, rows_of_tars, scatter

FORMATS = {
    "webdataset": ("--set", "dataset.type=webdataset", "--dataset", "data"),
    "captions": ("--captions-only",),
    "webshart": ("--metadata", "indexes"),
    "lance": (),
}
MOST_KILLS = 100


@pytest.fixture(scope="module")
def dying() -> Iterator[Exports]:
    with exports() as started:
        yield started


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tars, their indexes, and parts."""
    above = tmp_path_factory.mktemp("made")
    make_tars(above / "data")
    for shard in SHARDS:
        path = above / "indexes" / f"{shard.removesuffix('.tar')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"files": {f"{key_of(n)}.jpg": {} for n in range(20)}}))
    scatter(above / "captions", rows_of_tars())
    return above


def arguments(name: str, made: Path, output: Path) -> tuple[object, ...]:
    kind = "webdataset" if name == "captions" else name
    more = (str(made / one) if (made / one).exists() else one for one in FORMATS[name])
    rows = () if name == "webshart" else ("--rows-per-file", 12)
    return (made / "captions", "--format", kind, "-o", output, *rows, *more)


def dataset(above: Path) -> Any:
    """Say all that a reader sees of a data set of Lance; its files have other names each time."""
    if not (above / "out").exists():
        return None
    found = lance.dataset(str(above / "out"))
    fragments = [fragment.count_rows() for fragment in found.get_fragments()]
    there = sorted(one.parent.name for one in (above / "out").rglob("*") if one.is_file())
    return found.to_table(), fragments, there, found.version


def of(name: str) -> Callable[[Path], Any]:
    return dataset if name == "lance" else files


def complete(name: str, above: Path, wanted: Any) -> None:
    """Check that all that has a final name is as it shall be."""
    if name == "lance":
        assert dataset(above) is None or dataset(above) == wanted
        return
    there = {one: found for one, found in files(above).items() if "/." not in f"/{one}"}
    assert there.items() <= wanted.items()


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each format comes to where nothing happens."""
    above = tmp_path_factory.mktemp("whole")
    for name in FORMATS:
        exported(*arguments(name, made, above / name / "out"))
    return {name: of(name)(above / name) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_export_that_is_killed_time_and_again_makes_the_same(
    name: str, dying: Exports, made: Path, whole: dict[str, Any], tmp_path: Path
):
    """Each time some steps later, counted from where it goes on."""
    by = 6 if name == "lance" else 2  # to import Lance takes long
    for step in range(1, MOST_KILLS, by):
        end = dying.run(*arguments(name, made, tmp_path / "out"), step=step)
        complete(name, tmp_path, whole[name])
        data = tmp_path / ".out.export" / "dataset" / "data"
        if data.exists():  # as who is killed within a commit of Lance leaves it
            (data / "half.lance").write_bytes(b"half")
        if end.code != -signal.SIGKILL:
            break

    assert end.code == 0
    assert step > 3 * by
    assert of(name)(tmp_path) == whole[name]


@pytest.mark.parametrize("name", FORMATS)
def test_export_that_is_killed_at_one_of_its_last_steps_makes_the_same(
    name: str, dying: Exports, made: Path, whole: dict[str, Any], tmp_path: Path
):
    """Where files get their names, and the draft is deleted."""
    steps = dying.run(*arguments(name, made, tmp_path / "all" / "out")).steps
    for step in range(steps, steps - 14, -4 if name == "lance" else -2):
        above = tmp_path / str(step)
        assert dying.run(*arguments(name, made, above / "out"), step=step).code == -signal.SIGKILL
        complete(name, above, whole[name])
        finished = not list(above.rglob("journal.json"))  # all but an empty folder is gone
        end = dying.run(*arguments(name, made, above / "out"))
        assert end.code == (2 if finished else 0)
        assert of(name)(above) == whole[name]
