"""A list of URLs of which most are bad: each is captioned with its image, or given up for its true
reason, whoever fetches it, and none takes longer than the limits say."""

import csv
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from caption_flow.config.schema import SimulatedConfig
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.fetch import Client, DownloadLimits
from caption_flow.queue.connect import Connections
from caption_flow.worker import references as worker_references
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from tests.e2e.desk import Desk, settings
from tests.fetch.naughty import (
    Behaviour,
    NaughtyServer,
    cut,
    dripping,
    endless,
    raw,
    redirect,
    silent,
    stalled,
    status,
    too_long,
    whole,
)
from tests.made import jpeg
from tests.made import settings as told
from tests.redis_server import free_port
from tests.roles import (
    JOB,
    Roles,
    brisk,
    ends,
)

__all__ = ["brisk"]

ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"  # only the first is named in allow_networks
LIMITS = DownloadLimits(
    seconds=1.0, connect_seconds=0.5, idle_seconds=0.4, tries=2, redirects=3, per_host=64
)
MOST_BYTES = 1 << 20  # of an image
BRIEF = settings(
    engine="simulated",
    dataset__type="urls",
    dataset__allow_networks=f'["{ALLOWED}"]',
    dataset__max_file_size=MOST_BYTES,
    **{
        f"dataset__download__{name}": getattr(LIMITS, name)
        for name in ("seconds", "connect_seconds", "idle_seconds", "tries", "redirects", "per_host")
    },
)
ATTEMPTS = 2  # of a worker
SECONDS = ATTEMPTS * LIMITS.deadline + 9  # for all: the limits, and time to start and end

JPEG = "Content-Type: image/jpeg"


class Row(Struct, frozen=True):
    """A URL, and what comes of it: an image, or a reason."""

    url: str
    expected: bytes | str


class Web(Struct, frozen=True):
    """The servers that the list leads to."""

    common: NaughtyServer
    busy: NaughtyServer  # which has all wait that ask it
    mute: NaughtyServer  # which never answers
    inner: NaughtyServer  # of a network that is not allowed


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker not wait long for another host's answer."""
    monkeypatch.setattr(worker_references, "JUDGE_SECONDS", 0.1)


@pytest.fixture
def web() -> Iterator[Web]:
    servers = [NaughtyServer(host) for host in (ALLOWED, ALLOWED, ALLOWED, FORBIDDEN)]
    with servers[0] as common, servers[1] as busy, servers[2] as mute, servers[3] as inner:
        yield Web(common, busy, mute, inner)


def image(number: int) -> bytes:
    return jpeg(number, side=64)


def answered(server: NaughtyServer) -> Iterator[Row]:
    """URLs that some server answers, each in its way."""
    numbers = count()

    def good(*behaviours: Behaviour) -> Row:
        path = f"/{next(numbers)}.jpg"
        return Row(server.on(path, *behaviours), image(int(path[1:-4])))

    def bad(reason: str, behaviour: Behaviour) -> Row:
        return Row(server.on(f"/{next(numbers)}.jpg", behaviour), reason)

    whole_one = image(1000)
    yield good(whole(image(0), JPEG))
    yield good(redirect("/1b.jpg", 301))
    server.on("/1b.jpg", redirect(server.url("/1c.jpg"), 308))
    server.serve("/1c.jpg", image(1))
    yield good(status(500), whole(image(2)))
    yield good(cut(image(3), 50), whole(image(3)))
    yield good(raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + image(4)))
    yield bad("http_status", status(206, f"Content-Range: bytes 0-99/{len(whole_one)}"))
    yield bad("bad_redirect", redirect("/6.jpg"))
    yield bad("bad_redirect", redirect("/7b.jpg", 301))
    server.on("/7b.jpg", redirect("/7.jpg", 301))
    yield bad("bad_redirect", redirect("/a"))
    for here, there in zip("abcd", "bcde", strict=True):
        server.on(f"/{here}", redirect(f"/{there}", 307))
    server.serve("/e", whole_one)
    yield bad("bad_redirect", redirect("file:///etc/passwd"))
    yield bad("bad_redirect", redirect("http://me:secret@example.org/"))
    yield bad("bad_redirect", status(302))
    yield bad("forbidden", status(403, JPEG, body=whole_one))
    yield bad("forbidden", status(401))
    yield bad("not_found", status(404))
    yield bad("not_found", status(410))
    yield bad("http_status", status(418))
    yield bad("http_status", status(204, body=b""))
    yield bad("http_status", whole(whole_one, "Content-Encoding: gzip"))
    yield bad("server_error", status(503))
    yield bad("robots", whole(whole_one, "X-Robots-Tag: noai"))
    yield bad("timeout", stalled(whole_one, 50))
    yield bad("timeout", dripping(0.1))
    yield bad("too_many_bytes", endless)
    yield bad("too_many_bytes", status(200, body=bytes(MOST_BYTES + 1)))
    yield bad("truncated", cut(whole_one, 50))
    yield bad("truncated", whole(whole_one[:-60]))
    yield bad("truncated", too_long(whole_one, len(whole_one) - 60))
    yield bad("truncated", raw(b"no HTTP at all\r\n\r\n"))
    yield bad("truncated", raw(b""))
    yield bad("not_an_image", whole(b"<!DOCTYPE html><html>Not here</html>", JPEG))
    yield bad("empty", whole(b"", JPEG))


def elsewhere(web: Web) -> Iterator[Row]:
    """URLs that lead astray, or nowhere."""
    secret = web.inner.serve("/secret.jpg", image(1))
    yield Row(secret, "forbidden_address")
    # A name without a dot more, which the system takes for that address.
    yield Row(web.inner.url("/secret.jpg", "127.2"), "forbidden_address")
    yield Row(web.inner.url("/secret.jpg", "[::ffff:127.0.0.2]"), "forbidden_address")
    yield Row("http://169.254.169.254/latest/meta-data", "forbidden_address")
    yield Row(web.common.on("/to-secret", redirect(secret)), "forbidden_address")
    to_name = redirect(web.inner.url("/secret.jpg", "127.2"), 301)
    yield Row(web.common.on("/to-name", to_name), "forbidden_address")
    yield Row(f"http://{ALLOWED}:{free_port()}/a.jpg", "unreachable")
    yield Row("http://no-such-host.invalid/a.jpg", "unreachable")
    yield Row("", "bad_url")
    yield Row("  ", "bad_url")
    yield Row("ftp://example.org/a.jpg", "bad_url")
    yield Row("/etc/passwd", "bad_url")
    yield Row("http://me:secret@example.org/a.jpg", "bad_url")
    yield Row(f"http://example.org/{'a' * 9000}", "bad_url")


def patient(server: NaughtyServer) -> Iterator[Row]:
    """URLs of a server that wants fewer requests."""
    wait = status(429, "Retry-After: 1")
    yield Row(server.on("/soon.jpg", wait, whole(image(2000))), image(2000))
    yield Row(server.on("/never.jpg", wait), "rate_limited")


@pytest.mark.parametrize("who", ["feeder", "worker"])
async def test_each_url_is_captioned_or_given_up_for_its_true_reason(
    who: str,
    web: Web,
    desk: Desk,
    connections: Connections,
    redis_url: str,
):
    roles = Roles(connections, desk.folder, told(max_attempts=ATTEMPTS))
    # Three tries without an answer, all attempts together, and a host is left alone.
    mute = Row(web.mute.on("/a.jpg", silent), "timeout" if who == "feeder" else "unreachable")
    rows = [*answered(web.common), *elsewhere(web), *patient(web.busy), mute]
    table = desk.folder / "list.csv"
    write(table, rows)
    began = time.monotonic()

    fed = desk.start(
        *("feed", table, "--redis", redis_url, "--job", JOB, *BRIEF),
        *settings(dataset__fetch=who),
    ).wait()
    await caption_all(roles)

    seconds = time.monotonic() - began
    assert fed.code == 0, fed.words
    assert "Traceback" not in fed.words
    assert await outcomes(roles) == {n: row.expected for n, row in enumerate(rows)}
    counts = await roles.counts()
    assert counts.planned == len(rows) == counts.captioned + counts.dead
    assert web.inner.seen == []
    assert seconds < SECONDS


def write(table: Path, rows: list[Row]) -> None:
    with table.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["image_url", "n"])
        writer.writerows([row.url, n] for n, row in enumerate(rows))


async def caption_all(roles: Roles) -> None:
    reading = References(lambda: Client(LIMITS, [ALLOWED]), Hub(), at_once=64, max_bytes=MOST_BYTES)
    engine = SimulatedEngine(SimulatedConfig(decode=True), capacity=8)
    async with reading:
        await ends((await roles.worker(engine, references=reading)).run())
    await ends(roles.sink().run())


async def outcomes(roles: Roles) -> Mapping[int, Any]:
    """What came of each row: the image that was captioned, or the reason of its letter."""
    images = {sha256(one).hexdigest(): one for one in map(image, (*range(5), 2000))}
    captioned = {int(row["n"]): images[row["sha256"]] for row in roles.rows()}
    letters = await roles.dead()
    dead = {number(id_): letter.failure.reason for id_, letter in letters.items()}
    assert not captioned.keys() & dead.keys()
    return captioned | dead


def number(id_: str) -> int:
    """The row that a sample's id names."""
    return int(id_.rpartition("/")[2].partition("-")[0])
