"""Workers: who is listed, in which order, and who is in trouble."""

from msgspec.structs import replace

from caption_flow.model import Counts
from caption_flow.monitor.speeds import Speeds
from caption_flow.monitor.workers import Listed, Order, ceiling, ordered, share_of, workers
from caption_flow.queue.ports import Member, Snapshot

NOW = 1000.0


def member(name: str, *, ago: float = 0, free: float = 0, made: float = 0, state: str = "working"):
    figures = {"captions": made, "free_lately": free}
    return Member("worker", name, "host", 1, NOW - 100, NOW - ago, state, figures)


def listed(*members: Member) -> list[Listed]:
    snapshot = Snapshot(NOW, Counts(), members)
    speeds = Speeds()
    speeds.note(members)
    return workers(snapshot, speeds)


def names(order: Order, *members: Member, backwards: bool = False) -> list[str]:
    return [one.member.name for one in ordered(listed(*members), order, backwards=backwards)]


def test_workers_alone_are_listed_by_name():
    sink = Member("sink", "sink", "host", 1, 0.0, NOW, "working")

    assert [one.member.name for one in listed(member("b"), sink, member("a"))] == ["a", "b"]


def test_one_that_says_nothing_for_long_is_silent_and_makes_nothing():
    [one] = listed(member("w", ago=30, made=500))

    assert (one.silent, one.state, one.rate) == (True, "silent", 0.0)


def test_what_keeps_a_worker_from_its_work_is_told_apart_from_its_state():
    [one] = listed(member("w", state="idle: no model: too large"))

    assert (one.state, one.detail) == ("idle", "no model: too large")


def test_each_order_begins_with_those_that_are_looked_for():
    fast, free = member("fast", made=900), member("free", free=0.9, made=100)
    troubled, silent = member("kept", made=50, state="idle: x"), member("lost", ago=60, made=100)
    crowd = (fast, free, troubled, silent)

    assert names("name", *crowd) == ["fast", "free", "kept", "lost"]
    assert names("rate", *crowd)[0] == "fast"
    assert names("free", *crowd)[0] == "free"
    assert names("trouble", *crowd)[:2] == ["lost", "kept"]
    assert names("seen", *crowd)[0] == "lost"
    assert names("name", *crowd, backwards=True)[0] == "lost"


def test_equals_keep_their_places():
    crowd = [member(name) for name in "dbca"]

    for order in ("rate", "free", "trouble", "seen"):
        assert names(order, *crowd) == list("abcd")


def test_worker_that_tells_a_ceiling_is_shown_with_its_share_of_it():
    plain = member("a", made=5000)
    measured = replace(plain, figures={**plain.figures, "ceiling": 200.0})

    assert [one.share for one in listed(measured)] == [0.25]
    assert [one.share for one in listed(plain)] == [None]
    assert ceiling(Snapshot(NOW, Counts(), (measured, measured))) == 400.0
    assert ceiling(Snapshot(NOW, Counts(), (measured, plain))) is None
    assert ceiling(Snapshot(NOW, Counts(), ())) is None


def test_share_that_cannot_be_true_is_not_told():
    assert share_of(11.0, 10.0) == 1.1
    assert share_of(50.0, 10.0) is None
    assert share_of(1.0, -1.0) is None
    assert share_of(1.0, 0.0) is None
