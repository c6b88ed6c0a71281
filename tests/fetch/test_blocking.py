"""Threads fetch over one event loop: in order, so far ahead, and no more than is wanted."""

import gc
import multiprocessing
import random
import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from caption_flow.fetch import BlockingClient, Fetched, FetchFailed, Request
from tests.fetch.conftest import LOCAL, limits
from tests.fetch.naughty import (
    Call,
    NaughtyServer,
    cut,
    endless,
    late,
    silent,
    stalled,
    whole,
)

LIMIT = 1 << 20


@pytest.fixture
def blocking() -> Iterator[BlockingClient]:
    with BlockingClient(limits(), (LOCAL,)) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What nobody has closed says so when it is collected, in the test that left it."""
    yield
    gc.collect()


def bodies(results: Iterator[Fetched | FetchFailed]) -> list[bytes | str]:
    return [r.reason if isinstance(r, FetchFailed) else r.body for r in results]


def test_one_is_fetched(blocking: BlockingClient, server: NaughtyServer):
    url = server.serve("/a", b"0123456789")

    assert blocking.get(url, max_bytes=99).body == b"0123456789"
    assert blocking.get(url, max_bytes=99, start=3, length=2).body == b"34"
    assert blocking.head(url).total == 10
    with pytest.raises(FetchFailed, match="not_found"):
        blocking.get(server.url("/none"), max_bytes=99)


def test_stream_is_read_over_broken_connections(blocking: BlockingClient, server: NaughtyServer):
    tar = random.Random(7).randbytes(500_000)
    url = server.on("/0.tar", cut(tar, 200_000))

    assert b"".join(blocking.stream(url)) == tar


def test_stream_that_is_left_lets_go(blocking: BlockingClient, server: NaughtyServer):
    chunks = blocking.stream(server.on("/0.tar", endless))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]

    wait_until_left(server)


def wait_until_left(server: NaughtyServer) -> None:
    for _ in range(5000):
        if not server.open_connections:
            return
        threading.Event().wait(0.002)
    raise AssertionError


def test_many_come_in_the_order_asked(blocking: BlockingClient, server: NaughtyServer):
    """The first one last, as things are; failures stand in their places."""
    gate = threading.Event()

    async def last(call: Call) -> bool:
        gate.set()
        return await whole(b"19")(call)

    server.on("/0", late(whole(b"0"), gate))
    for number in range(1, 19):
        server.serve(f"/{number}", str(number).encode())
    server.on("/19", last)
    paths = [f"/{number}" for number in range(20)]
    paths[7] = "/none"

    found = bodies(blocking.fetch_all((Request(server.url(p), LIMIT) for p in paths), ahead=30))

    assert found == [b"not_found".decode() if p == "/none" else p[1:].encode() for p in paths]


def test_no_more_are_asked_for_than_so_many_ahead(blocking: BlockingClient, server: NaughtyServer):
    url = server.serve("/a", b"fine")
    taken: list[int] = []

    def requests() -> Iterator[Request]:
        for number in range(1000):
            taken.append(number)
            yield Request(url, LIMIT)

    results = blocking.fetch_all(requests(), ahead=5)

    assert len(list(islice(results, 3))) == 3
    assert len(taken) <= 8


def test_no_more_bytes_are_held_than_so_many_ahead(server: NaughtyServer):
    """Of what is larger than told, too: those that find no room begin anew."""
    body = bytes(100_000)
    url = server.serve("/a", body)
    held = Held()
    with BlockingClient(limits(per_host=16), (LOCAL,)) as client:
        results = client.fetch_all((Request(url, LIMIT) for _ in range(60)), 16, 450_000)
        found = [held.look(results, r) for r in results]

    assert found == [body] * 60
    assert held.most <= 550_000


class Held:
    """Looks how much is held between two results."""

    def __init__(self) -> None:
        self.most = 0

    def look(self, results: object, result: Fetched | FetchFailed) -> bytes:
        room = results.gi_frame.f_locals["room"]  # type: ignore[attr-defined]
        threading.Event().wait(0.002)
        self.most = max(self.most, room.used)
        assert isinstance(result, Fetched)
        return result.body


def test_body_larger_than_all_the_room_comes_when_it_is_its_turn(
    blocking: BlockingClient, server: NaughtyServer
):
    large, small = bytes(500_000), b"small"
    server.serve("/large", large)
    server.serve("/small", small)
    paths = ["/small", "/large", "/small", "/large", "/large", "/small"]

    found = bodies(blocking.fetch_all([Request(server.url(p), LIMIT) for p in paths], 6, 1000))

    assert found == [large if p == "/large" else small for p in paths]


def test_what_is_in_flight_is_cancelled_when_no_more_is_wanted(
    blocking: BlockingClient, server: NaughtyServer
):
    server.serve("/a", b"fine", "Connection: close")
    server.on("/slow", stalled(b"x" * 1000, 10))
    server.on("/silent", silent)
    paths = ["/a", "/slow", "/silent", "/slow"]
    results = blocking.fetch_all([Request(server.url(p), LIMIT) for p in paths])
    first = next(results)
    results.close()  # type: ignore[attr-defined]

    assert isinstance(first, Fetched)
    wait_until_left(server)  # long before their time is over


def test_threads_fetch_at_the_same_time(blocking: BlockingClient, server: NaughtyServer):
    together = threading.Barrier(4, timeout=10)
    url = server.serve("/a", b"fine")
    found: list[bytes] = []

    def fetch() -> None:
        together.wait()
        requests = [Request(url, LIMIT)] * 20
        found.extend(r.body for r in blocking.fetch_all(requests) if isinstance(r, Fetched))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [b"fine"] * 80


def _fetch_in_child(url: str, answer: "multiprocessing.SimpleQueue[bytes]") -> None:
    with BlockingClient(limits(), (LOCAL,)) as client:
        answer.put(client.get(url, max_bytes=9).body)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_process_that_was_forked_fetches_too(blocking: BlockingClient, server: NaughtyServer):
    url = server.serve("/a", b"fine")
    blocking.get(url, max_bytes=9)
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=_fetch_in_child, args=(url, answer))
    child.start()
    child.join(10)

    assert child.exitcode == 0
    assert answer.get() == b"fine"
