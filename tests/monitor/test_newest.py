"""Newest: captions that sinks have taken off the stream are still seen."""

from caption_flow.monitor.newest import Newest
from tests.made import caption


def entries(newest: Newest) -> list[str]:
    return [one.entry for one in newest.all]


def test_what_left_the_stream_is_kept_and_the_newest_come_first():
    newest = Newest(10)
    newest.add([caption(2, entry="2-0"), caption(1, entry="1-0")])
    newest.add([caption(10, entry="10-0"), caption(9, entry="9-1"), caption(8, entry="9-0")])

    assert entries(newest) == ["10-0", "9-1", "9-0", "2-0", "1-0"]


def test_the_same_one_is_kept_once():
    newest = Newest(10)
    newest.add([caption(1, entry="1-0")])
    newest.add([caption(1, entry="1-0")])

    assert entries(newest) == ["1-0"]


def test_no_more_are_kept_than_are_wanted():
    newest = Newest(2)
    newest.add([caption(n, entry=f"{n}-0") for n in range(5)])

    assert entries(newest) == ["4-0", "3-0"]
