"""Addresses: who asks is found, and what each does is counted in memory that does not grow."""

import tracemalloc

import pytest

from caption_flow.proxy.admission.addresses import Addresses
from caption_flow.proxy.admission.origin import Origins
from caption_flow.proxy.admission.tally import Tally

SLOTS = 1 << 12


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# Who asks

BALANCERS = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("203.0.113.5", ["198.51.100.9"], "203.0.113.5"),  # anybody may say so
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.9, 10.7.7.7"], "198.51.100.9"),
        ("10.0.0.1", ["10.9.9.9, 10.7.7.7"], "10.9.9.9"),
        ("10.0.0.1", ["198.51.100.9:4711"], "198.51.100.9"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::/64"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::/64"),
        ("::ffff:10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["198.51.100.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.9,"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, " + "10.0.0.2, " * 1000 + "10.0.0.3"], "10.0.0.2"),
        ("", ["198.51.100.9"], ""),
    ],
)
def test_who_asks_is_the_last_who_is_not_believed(peer: str, forwarded: list[str], found: str):
    assert Origins(BALANCERS).of(peer, forwarded) == found


# How often


def test_as_many_as_may_be_are_let_by(clock: Clock):
    tally = Tally(3, 60, slots=SLOTS, clock=clock)
    waits = []
    for _ in range(4):
        waits.append(tally.wait("a"))
        tally.add("a")

    assert waits[:3] == [0, 0, 0]
    assert waits[3] > 0
    assert tally.wait("b") == 0


@pytest.mark.parametrize("later", [0.0, 7.0, 59.0])
def test_who_waits_as_long_as_told_is_let_by(clock: Clock, later: float):
    clock.now += later
    tally = Tally(5, 60, slots=SLOTS, clock=clock)
    for burst in range(8):
        clock.now += burst * 3
        while not (wait := tally.wait("a")):
            tally.add("a")
        assert 0 < wait <= 60
        clock.now += wait - 0.01
        assert tally.wait("a") > 0
        clock.now += 0.02
        assert tally.wait("a") == 0


def test_in_the_long_run_as_many_are_let_by_as_may_be(clock: Clock):
    tally = Tally(5, 60, slots=SLOTS, clock=clock)
    passed = 0
    for _ in range(600):
        clock.now += 1
        if not tally.wait("a"):
            tally.add("a")
            passed += 1

    assert 45 <= passed <= 60


def test_what_was_long_ago_is_forgotten(clock: Clock):
    tally = Tally(1, 60, slots=SLOTS, clock=clock)
    tally.add("a")
    clock.now += 150

    assert tally.wait("a") == 0


def test_no_number_of_others_frees_an_address(clock: Clock):
    tally = Tally(20, 600, slots=SLOTS, clock=clock)
    for _ in range(20):
        tally.add("banned")
    for number in range(20_000):
        tally.add(f"other {number}")

    assert tally.wait("banned") > 0


def test_many_banned_addresses_hold_up_no_innocent_one(clock: Clock):
    addresses = Addresses(
        handshakes_per_minute=100, failed_logins=20, pages_per_minute=100, clock=clock
    )
    for number in range(2000):
        for _ in range(20):
            addresses.failed(f"bad {number}")

    assert all(addresses.banned(f"bad {number}", "") for number in range(2000))
    assert not any(addresses.banned(f"good {number}", "") for number in range(2000))


def test_memory_does_not_grow_with_addresses(clock: Clock):
    addresses = Addresses(
        handshakes_per_minute=100, failed_logins=20, pages_per_minute=100, clock=clock
    )
    tracemalloc.start()
    for number in range(10_000):
        addresses.knock(f"address {number}")
        addresses.failed(f"address {number}")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 100_000


# Who was there before


def test_token_that_was_good_there_is_let_by_where_others_fail(clock: Clock):
    addresses = Addresses(
        handshakes_per_minute=100, failed_logins=2, pages_per_minute=100, clock=clock
    )
    addresses.passed("office", "known")
    for _ in range(2):
        addresses.failed("office")

    assert addresses.banned("office", "known") == 0
    assert addresses.banned("office", "guess") > 0
    assert addresses.banned("elsewhere", "guess") == 0


def test_good_tokens_that_are_kept_in_mind_are_bounded(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.proxy.admission.addresses._FAMILIAR", 10)
    addresses = Addresses(
        handshakes_per_minute=100, failed_logins=1, pages_per_minute=100, clock=clock
    )
    for number in range(20):
        addresses.passed(f"address {number}", "token")
        addresses.failed(f"address {number}")

    known = [n for n in range(20) if not addresses.banned(f"address {n}", "token")]
    assert known == list(range(10, 20))


def test_handshakes_that_are_refused_do_not_count(clock: Clock):
    addresses = Addresses(
        handshakes_per_minute=2, failed_logins=1, pages_per_minute=100, clock=clock
    )
    for _ in range(2):
        assert not addresses.knock("a")
    wait = addresses.knock("a")
    for _ in range(100):
        assert addresses.knock("a") == wait

    clock.now += wait + 0.01
    assert not addresses.knock("a")
