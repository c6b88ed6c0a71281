"""Contributors: workers that come through a proxy, as real processes over TLS."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from caption_flow.keeper import Keeper
from caption_flow.model import Failure, Lease
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from tests.certificates.pairs import Pair, pair
from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import free_port

TOKEN = "cf_the-token-of-ann"
DOCUMENT = f"""
job: photos
engine: simulated
simulated: {{latency: [0.02, 0.06]}}
vllm: {{batch_size: 8}}
lease_seconds: 2
storage: {{rows_per_part: 50}}
auth:
  worker_tokens:
    - {{name: ann, token: {TOKEN}}}
"""


class Site(Struct, frozen=True):
    """A job that is fed and written, with a proxy before it."""

    desk: Desk
    images: Path
    port: int
    flags: tuple[object, ...]  # of each command that serves the job
    pair: Pair

    def proxy(self) -> Running:
        """Open the door, and wait until it is open."""
        where = ("--host", "127.0.0.1", "--port", self.port)
        shown = ("--cert", self.pair.cert, "--key", self.pair.key)
        proxy = self.desk.start("proxy", *self.flags, *where, *shown)
        wait_until(lambda: "Serving job photos on wss://" in proxy.out, "an open door")
        return proxy

    def worker(
        self, *arguments: object, environ: Mapping[str, str] = {"CAPTION_FLOW_TOKEN": TOKEN}
    ) -> Running:
        """Start a worker elsewhere: it knows an address, a token and perhaps a certificate."""
        home = self.desk.folder / "elsewhere"
        home.mkdir(exist_ok=True)
        server = ("--server", f"wss://localhost:{self.port}")
        return self.desk.start("worker", *server, *arguments, folder=home, environ=environ)


@pytest.fixture
def site(desk: Desk, redis_url: str) -> Site:
    document = desk.folder / "orchestrator.yaml"
    document.write_text(DOCUMENT)
    images = draw(desk.folder / "photos", 300)
    return Site(desk, images, free_port(), ("--redis", redis_url), pair(desk.folder))


def start_job(site: Site, *given: object) -> tuple[Running, Running]:
    return (
        site.desk.start("feed", site.images, *site.flags, *given),
        site.desk.start("sink", *site.flags, "--exit-when-done", *given),
    )


def test_worker_captions_what_it_cannot_read(site: Site):
    proxy = site.proxy()
    _, sink = start_job(site)
    worker = site.worker("--ca-cert", site.pair.cert, "--exit-when-done")

    assert sink.wait().code == 0
    ended = worker.wait()

    found = rows(site.desk.folder / "caption_data" / "photos")
    assert ended.code == 0, ended.words
    assert ended.out.strip() == "Captioned 300 samples; gave up 0."
    assert said(found) == sorted(digests(site.images).items())
    assert {row["contributor"] for row in found} == {"ann"}
    assert all(row["worker"].startswith("ann/") for row in found)
    assert {row["attempt"] for row in found} == {1}
    assert TOKEN not in ended.words
    assert proxy.terminate().code == 0


def test_proxy_that_is_killed_and_started_again_costs_nothing(site: Site, redis_url: str):
    job = Job(redis_url, "photos")
    proxy = site.proxy()
    _, sink = start_job(site)
    workers = [
        site.worker("--ca-cert", site.pair.cert, "--exit-when-done", "--name", name)
        for name in ("one", "two")
    ]
    for done in (60, 140):
        job.wait_for("completed", done)
        proxy.kill()
        time.sleep(0.5)
        proxy = site.proxy()

    assert sink.wait().code == 0
    assert [worker.wait().code for worker in workers] == [0, 0]
    found = rows(site.desk.folder / "caption_data" / "photos")
    assert said(found) == sorted(digests(site.images).items())


def test_worker_that_is_stopped_hands_back_at_once(site: Site, redis_url: str):
    job = Job(redis_url, "photos")
    site.proxy()
    start_job(site, *settings(simulated__latency="[5, 6]"))
    worker = site.worker("--ca-cert", site.pair.cert, "--drain-timeout", "0")
    wait_until(lambda: sum(job.pending("samples:caption").values()) > 8, "samples in hand")

    ended = worker.terminate()

    assert ended.code == 0, ended.words
    wait_until(lambda: set(job.pending("samples:caption")) <= {"returned"}, "samples handed back")


def test_worker_with_a_wrong_token_is_told_so_and_ends(site: Site):
    site.proxy()
    worker = site.worker(
        "--ca-cert", site.pair.cert, environ={"CAPTION_FLOW_TOKEN": "cf_no-token-at-all"}
    )

    ended = worker.wait()

    assert ended.code == 2, ended.words
    assert "does not accept the token" in ended.err
    assert "cf_no-token-at-all" not in ended.words


def test_worker_that_does_not_know_the_certificate_is_told_what_to_do(site: Site):
    site.proxy()
    ended = site.worker().wait()

    assert ended.code == 2, ended.words
    assert "--ca-cert FILE" in ended.err


def test_worker_that_checks_no_certificate_is_warned(site: Site):
    site.proxy()
    worker = site.worker("--no-verify-ssl")
    wait_until(lambda: "Connected to" in worker.err, "a connection")

    ended = worker.terminate()

    assert "is not checked" in ended.err
    assert ended.code == 0, ended.words


async def test_role_that_is_busy_for_longer_than_a_lease_keeps_its_leases(site: Site):
    """As while a model loads: its event loop stands still, and nothing else does."""
    site.proxy()
    start_job(site)
    lost: list[Lease] = []
    entrance = Entrance(
        f"wss://localhost:{site.port}",
        TOKEN,
        role="worker",
        member="busy",
        ca_cert=site.pair.cert,
    )
    async with Link(entrance) as link:
        queue = RemoteWorkQueue(link)
        await queue.serve(["caption"], lease_seconds=2)
        leases: list[Lease] = []
        while len(leases) < 5:
            leases += await queue.claim(5 - len(leases))
        async with Keeper(queue.renewals, held=lambda: leases, lost=lost.extend, lease_seconds=2):
            time.sleep(6)  # noqa: ASYNC251 - that is the point
        why = Failure("tired", "it took so long", 1.0, "caption", 1, "busy")

        assert lost == []
        assert await queue.fail([(lease, why) for lease in leases]) == [True] * 5
