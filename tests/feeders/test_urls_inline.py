"""Images of URLs, fetched by the feeder from a real server."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import SourceError
from caption_flow.fetch import BlockingClient, DownloadLimits
from caption_flow.model import Raw
from feeders.urls import UrlsSource, fetching, source
from tests.e2e.desk import wait_until
from tests.feeders.tables import by_arrow, by_arrow_file, by_csv, by_pandas, text
from tests.feeders.test_urls import read_all
from tests.fetch.naughty import NaughtyServer, late, silent, status, whole


@pytest.fixture
def server() -> Iterator[str]:
    """Serves numbers, each under its own."""
    with NaughtyServer() as started:
        for number in range(60):
            if number % 7:
                url = started.serve(f"/{number}", f"/{number}".encode())
        started.serve("/12345678", b"123456789")
        yield url.rpartition("/")[0]


def inline(path: Path, **options: Any) -> UrlsSource:
    given = {"images": "inline", "allow_networks": ("127.0.0.1",), **options}
    return UrlsSource(SourceOptions(str(path), **given))


def test_images_come_in_order_with_those_that_failed(tmp_path: Path, server: str):
    lines = [f"{server}/{n}" if n % 7 else f"{server}/gone{n}" for n in range(60)]
    lines[10] = "no URL"
    lines[59] = "none either"
    made = inline(text(tmp_path / "t.txt", "\n".join(lines)))

    found = read_all(made, "t.txt")

    said = [(raw.image or raw.reason.encode()).decode() for raw in found]
    assert said == [
        "bad_url" if n in {10, 59} else f"/{n}" if n % 7 else "not_found" for n in range(60)
    ]
    assert all(raw.reference is None for raw in found)
    made._client.close()


def test_an_image_above_the_limit_is_told(tmp_path: Path, server: str):
    made = inline(text(tmp_path / "t.txt", f"{server}/12345678\n"), max_file_size=8)

    assert [raw.reason for raw in read_all(made, "t.txt")] == ["too_many_bytes"]
    made._client.close()


def test_a_network_that_is_not_allowed_is_told(tmp_path: Path, server: str):
    made = inline(text(tmp_path / "t.txt", f"{server}/1\n"), allow_networks=())

    assert [raw.reason for raw in read_all(made, "t.txt")] == ["forbidden_address"]
    made._client.close()


def test_images_are_fetched_within_the_limits_that_are_configured(tmp_path: Path):
    with NaughtyServer() as host:
        url = host.on("/1", status(503))
        limits = DownloadLimits(tries=2, user_agent="someone")
        made = inline(text(tmp_path / "t.txt", f"{url}\n"), download=limits)

        assert [raw.reason for raw in read_all(made, "t.txt")] == ["server_error"]
        assert [call.headers["user-agent"] for call in host.seen] == ["someone"] * 2
        made._client.close()


def test_a_slow_server_does_not_hold_up_the_images_behind_it(tmp_path: Path):
    gate = threading.Event()
    with NaughtyServer() as slow, NaughtyServer() as quick:
        first = slow.on("/0", late(whole(b"0"), gate))
        lines = [first, *(quick.serve(f"/{n}", b"n") for n in range(600))]
        made = inline(text(tmp_path / "t.txt", "\n".join(lines)))
        opener = threading.Thread(target=open_once, args=(gate, lambda: len(quick.seen) >= 600))
        opener.start()

        found = read_all(made, "t.txt")

        opener.join()
        assert not any(raw.error for raw in found)
        assert len(quick.seen) == 600
        made._client.close()


def open_once(gate: threading.Event, condition: Callable[[], bool]) -> None:
    """Open a gate as soon as a condition holds."""
    wait_until(condition, "requests", patience=10)
    gate.set()


def test_chunks_that_are_read_at_once_share_the_limits(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
):
    opened: list[BlockingClient] = []

    def slowly(*limits: Any) -> BlockingClient:
        time.sleep(0.05)
        opened.append(BlockingClient(*limits))
        return opened[-1]

    monkeypatch.setattr(source, "BlockingClient", slowly)
    made = inline(text(tmp_path / "t.txt", f"{server}/1\n"))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: read_all(made, "t.txt"), range(2)))

    assert len(opened) == 1
    opened[0].close()


def test_samples_are_not_given_up_when_the_network_is_gone():
    """Ports of loopback addresses that nobody listens on stand for it."""
    limits = DownloadLimits(tries=1, connect_seconds=1.0)
    raws = [Raw(str(n), f"http://127.0.0.{n % 50 + 1}:9/{n}") for n in range(200)]

    with (
        BlockingClient(limits, ("127.0.0.0/8",)) as client,
        pytest.raises(SourceError, match="No host answers any more"),
    ):
        list(fetching.with_images(raws, client, 1000))


def test_samples_are_not_given_up_when_the_only_host_falls_silent(tmp_path: Path):
    """It would be left alone for a minute, in which all the rest of the list would fail."""
    limits = DownloadLimits(tries=3, per_host=2, idle_seconds=0.2)
    with NaughtyServer() as host:
        lines = [host.serve("/0", b"0"), *(host.on(f"/{n}", silent) for n in range(1, 500))]
        made = inline(text(tmp_path / "t.txt", "\n".join(lines)), download=limits)
        given: list[Raw] = []
        with pytest.raises(SourceError, match="No host answers any more"):
            given.extend(made.samples("t.txt", list(made.names("t.txt", None))))

        assert sum(bool(raw.error) for raw in given) < 8
        made._client.close()


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.csv", "t.jsonl"])
def test_tables_may_lie_on_a_server(tmp_path: Path, name: str):
    write = {"t.parquet": by_arrow, "t.arrow": by_arrow_file, "t.csv": by_csv}.get(name, by_pandas)
    rows = [{"url": f"https://example.com/{n}.jpg", "n": str(n)} for n in range(1000)]
    body = write(tmp_path / name, rows).read_bytes()
    with NaughtyServer() as host:
        url = host.serve(f"/{name}", body, 'ETag: "1"')
        made = UrlsSource(SourceOptions(url, allow_networks=("127.0.0.1",)))
        listed = list(made.names(name, None))
        found = made.samples(name, [listed[900], listed[7]], made.fingerprint(name))

        assert list(made.shards()) == [name]
        assert list(made.names(name, listed[990])) == listed[991:]
        assert [raw.columns for raw in found] == [{"n": "900"}, {"n": "7"}]
