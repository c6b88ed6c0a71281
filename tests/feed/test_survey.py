"""Survey: what would be fed is what is fed."""

from pathlib import Path

from caption_flow.dataset.known import Known
from caption_flow.feed.selection import Selection
from caption_flow.feed.survey import Survey, survey
from tests.feed.changing import Table
from tests.made import folder_source, jpeg, pictures


def surveyed(root: Path, *known: str, selection: Selection | None = None) -> Survey:
    source = folder_source(root)
    return survey(source, Known(known), selection or Selection(), go_on=lambda: True)


def size(*numbers: int) -> int:
    return sum(len(jpeg(number)) for number in numbers)


def test_new_samples_are_counted_with_their_bytes(tmp_path: Path):
    pictures(tmp_path, range(3))
    pictures(tmp_path, range(3, 5), "more")

    found = surveyed(tmp_path, "00001.jpg", "elsewhere.jpg")

    assert found == Survey(shards=2, samples=4, known=1, bytes=size(0, 2, 3, 4))


def test_shards_without_anything_new_are_not_counted(tmp_path: Path):
    pictures(tmp_path, range(2))
    pictures(tmp_path, range(2, 3), "more")

    assert surveyed(tmp_path, "more/00002.jpg").shards == 1


def test_what_is_not_selected_is_not_counted(tmp_path: Path):
    pictures(tmp_path, range(5))
    pictures(tmp_path, range(5, 9), "more")

    limited = surveyed(tmp_path, "00000.jpg", selection=Selection(limit=3))
    chosen = surveyed(tmp_path, selection=Selection(shards=("mo*",)))

    assert limited == Survey(shards=1, samples=2, known=1, bytes=size(1, 2))
    assert chosen.samples == 4


def test_bytes_that_no_source_can_tell_are_unknown():
    class Unsized(Table):
        def size(self, shard: str, wanted: object) -> None:
            del shard, wanted

    found = survey(Unsized(range(5)), Known(()), Selection(), go_on=lambda: True)

    assert found == Survey(shards=1, samples=5, bytes=None)


def test_who_asked_may_end_it(tmp_path: Path):
    pictures(tmp_path, range(5))
    source = folder_source(tmp_path)

    assert survey(source, Known(()), Selection(), go_on=lambda: False) == Survey()
