"""Parts: finished or not there, and never taken from a writer that lives."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.dataset import open_part, temporary
from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import StorageBlocked, StorageUnfit
from tests.made import caption

AGREED = ColumnSchema(("captions",))


@pytest.fixture
def folder(tmp_path: Path) -> PartFolder:
    return PartFolder(tmp_path, "books")


def opened(folder: PartFolder, *numbers: int) -> OpenPart:
    part = folder.open(AGREED)
    part.append([caption(n) for n in numbers])
    return part


def prepared(folder: PartFolder, *numbers: int) -> OpenPart:
    part = opened(folder, *numbers)
    part.prepare()
    return part


def ids(*numbers: int) -> list[str]:
    return [f"{n:05}.jpg" for n in numbers]


def test_a_part_has_its_rows_in_order(folder: PartFolder):
    part = prepared(folder, 3, 1, 2)
    part.publish()

    assert folder.ids(part.name) == ids(3, 1, 2)


def test_rows_of_more_than_one_group_are_in_order(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_part, "ROWS_PER_GROUP", 2)
    part = folder.open(AGREED)
    for first in range(0, 9, 3):
        part.append([caption(n) for n in range(first, first + 3)])
    part.prepare()
    part.publish()

    assert folder.ids(part.name) == ids(*range(9))
    assert pq.ParquetFile(folder.file(part.name)).num_row_groups == 3


def test_a_part_is_not_there_until_it_is_published(folder: PartFolder):
    part = prepared(folder, 1)
    assert folder.published() == []

    part.publish()

    assert folder.published() == [part.name]


def test_publishing_again_changes_nothing(folder: PartFolder):
    part = prepared(folder, 1)
    part.publish()

    folder.publish(part.name)

    assert folder.ids(part.name) == ids(1)


def test_a_published_part_leaves_no_temporary_one(folder: PartFolder):
    prepared(folder, 1).publish()

    assert list(folder.path.glob(".*")) == []


def test_a_discarded_part_leaves_nothing(folder: PartFolder):
    opened(folder, 1).discard()

    assert list(folder.path.iterdir()) == []


def test_parts_that_are_opened_together_have_two_names(folder: PartFolder):
    one, other = opened(folder, 1), opened(folder, 2)

    assert one.name != other.name
    one.discard()
    other.discard()


def test_an_abandoned_part_that_is_recorded_is_published(folder: PartFolder):
    prepared(folder, 1).abandon()

    [part] = folder.abandoned()
    part.settle(recorded=True)

    assert folder.ids(part.name) == ids(1)
    assert folder.published() == [part.name]


def test_an_abandoned_part_that_is_not_recorded_is_deleted(folder: PartFolder):
    prepared(folder, 1).abandon()

    [part] = folder.abandoned()
    part.settle(recorded=False)

    assert list(folder.path.iterdir()) == []


def test_the_part_of_a_living_writer_is_not_taken(folder: PartFolder):
    part = opened(folder, 1)

    assert folder.abandoned() == []
    part.discard()


def test_the_prepared_part_of_a_living_writer_is_not_taken(folder: PartFolder):
    part = prepared(folder, 1)

    assert folder.abandoned() == []
    part.discard()


def test_an_abandoned_part_is_taken_by_one_only(folder: PartFolder):
    prepared(folder, 1).abandon()
    [part] = folder.abandoned()

    assert folder.abandoned() == []
    part.close()


def test_what_is_locked_is_open_for_writing(folder: PartFolder, monkeypatch: pytest.MonkeyPatch):
    """NFS refuses to lock others out of a file by a descriptor that can only read."""
    prepared(folder, 1).abandon()
    lock, modes = fcntl.flock, []

    def noting_lock(file: IO[bytes], how: int) -> None:
        modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", noting_lock)
    [part] = folder.abandoned()
    part.settle(recorded=False)
    opened(folder, 2).discard()

    assert modes == [os.O_RDWR] * 2


def test_an_abandoned_part_that_was_let_go_is_found_again(folder: PartFolder):
    prepared(folder, 1).abandon()
    [part] = folder.abandoned()
    part.close()

    [again] = folder.abandoned()

    assert again.name == part.name
    again.close()


WRITER = """
import sys
from pathlib import Path
from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import PartFolder

part = PartFolder(Path(sys.argv[1]), "books").open(ColumnSchema(("captions",)))
print(part.name, flush=True)
sys.stdin.read()
"""


def test_the_part_of_a_killed_process_is_abandoned(folder: PartFolder):
    command = [sys.executable, "-c", WRITER, str(folder.path.parent)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        name = writer.stdout.readline().strip()
        assert folder.abandoned() == []
        writer.send_signal(signal.SIGKILL)

    [part] = folder.abandoned()

    assert part.name == name
    part.close()


def test_a_part_that_is_taken_between_creating_and_locking_is_made_again(
    folder: PartFolder, monkeypatch: pytest.MonkeyPatch
):
    lock = fcntl.flock
    taken = []

    def slow_lock(file: object, how: int) -> None:
        if how == fcntl.LOCK_EX and not taken:
            taken.extend(folder.abandoned())
            taken[0].settle(recorded=False)
        lock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", slow_lock)
    part = opened(folder, 1)
    assert len(taken) == 1

    part.prepare()
    part.publish()

    assert folder.ids(part.name) == ids(1)


def test_a_writer_waits_for_who_looks_at_its_new_part(folder: PartFolder):
    """The other way round: who looks has the lock first, and deletes while the writer waits.

    A part of the first name would not be recorded any more.
    """
    folder.path.mkdir(parents=True)
    path = folder.temporary("part-race")
    with path.open("wb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        made = []
        writer = threading.Thread(
            target=lambda: made.append(temporary.begin(folder.temporary, "part-race"))
        )
        writer.start()
        while descriptors_of(path) < 2:  # until it waits for the lock
            pass
        path.unlink()
    writer.join()

    [(name, file)] = made
    assert os.path.samestat(os.fstat(file.fileno()), folder.temporary(name).stat())
    assert name != "part-race"
    file.close()


def descriptors_of(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is closed by now
            found += os.path.samestat(os.fstat(int(entry.name)), path.stat())
    return found


@settings(max_examples=25, deadline=None)
@given(lost=st.sets(st.integers(0, 11)))
def test_without_keeps_exactly_the_other_rows(
    tmp_path_factory: pytest.TempPathFactory, lost: set[int]
):
    folder = PartFolder(tmp_path_factory.mktemp("parts"), "books")
    part = prepared(folder, *range(12))
    kept = [n for n in range(12) if n not in lost]

    rest = part.without({f"{n + 1}-0" for n in lost})
    rest.prepare()
    rest.publish()

    assert folder.ids(rest.name) == rest.ids == ids(*kept)
    assert rest.entries == [f"{n + 1}-0" for n in kept]


def test_without_leaves_no_trace_of_the_part_before(folder: PartFolder):
    part = prepared(folder, 1, 2)

    rest = part.without({"2-0"})
    rest.prepare()
    rest.publish()

    assert [path.name for path in folder.path.iterdir()] == [f"{rest.name}.parquet"]


def test_without_keeps_the_values(folder: PartFolder):
    agreed = ColumnSchema(("captions",), {"a": "int64", "empty": "string"})
    part = folder.open(agreed)
    part.append([caption(n, columns={"a": n}) for n in (1, 2)])
    part.prepare()

    rest = part.without({"2-0"})
    rest.prepare()
    rest.publish()

    table = pq.read_table(folder.file(rest.name))
    assert table.column("a").to_pylist() == [2]
    assert table.schema.field("empty").type == pa.string()


def test_without_any_row_left_can_be_discarded(folder: PartFolder):
    rest = prepared(folder, 1).without({"2-0"})
    rest.prepare()

    rest.discard()

    assert list(folder.path.iterdir()) == []


def test_a_prepared_part_is_whole_under_its_temporary_name(folder: PartFolder):
    part = prepared(folder, 1, 2)

    assert folder.ids(part.name) == ids(1, 2)
    part.discard()


def test_a_part_whose_file_was_deleted_is_not_prepared(folder: PartFolder):
    """Once recorded, it would be lost with its writer."""
    part = opened(folder, 1)
    folder.delete(part.name)

    with pytest.raises(StorageBlocked, match=r"^A file of ours in"):
        part.prepare()
    part.discard()


def test_a_recorded_part_whose_file_was_deleted_is_published_all_the_same(folder: PartFolder):
    part = prepared(folder, 1, 2)
    folder.delete(part.name)

    part.publish()

    assert folder.ids(part.name) == ids(1, 2)
    assert list(folder.path.glob(".*")) == []


@pytest.mark.parametrize("damage", [lambda data: data[:99], lambda data: data[:-99] + data[-50:]])
def test_a_published_part_that_cannot_be_read_is_named(
    folder: PartFolder, damage: Callable[[bytes], bytes]
):
    part = prepared(folder, 1)
    part.publish()
    file = folder.file(part.name)
    file.write_bytes(damage(file.read_bytes()))

    for read in (lambda: folder.ids(part.name), folder.agreed):
        with pytest.raises(
            StorageUnfit, match=rf"{part.name}\.parquet cannot be read \(.*\)\. Put"
        ):
            read()


FOREIGN = {
    "no column id": {"name": ["a"]},
    "numbers": {"id": [1]},
    "nothing": {"id": pa.array([None], pa.string())},
    "something and nothing": {"id": ["a", None]},
}


@pytest.mark.parametrize("columns", FOREIGN.values(), ids=FOREIGN)
def test_file_that_is_no_part_is_named_with_what_to_do(
    folder: PartFolder, columns: dict[str, object]
):
    folder.path.mkdir()
    pq.write_table(pa.table(columns), folder.file("part-theirs"))

    with pytest.raises(StorageUnfit, match=r"part-theirs\.parquet is no part: .* Move it"):
        folder.ids("part-theirs")


def test_temporary_file_that_is_no_part_has_no_ids(folder: PartFolder):
    folder.path.mkdir()
    pq.write_table(pa.table({"name": ["a"]}), folder.temporary("part-theirs"))

    assert folder.ids_if_prepared("part-theirs") is None


def test_a_part_that_is_being_written_has_no_ids_yet(folder: PartFolder):
    part = opened(folder, 1)
    assert folder.ids_if_prepared(part.name) is None

    part.prepare()

    assert folder.ids_if_prepared(part.name) == ids(1)
    part.discard()


def test_publishing_is_one_rename(folder: PartFolder):
    """Whoever watches the folder finds no part, or the whole of it: it is one file all along."""
    part = prepared(folder, 1)
    before = folder.temporary(part.name).stat()

    part.publish()

    assert os.path.samestat(before, folder.file(part.name).stat())
