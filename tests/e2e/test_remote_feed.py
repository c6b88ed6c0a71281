"""A feeder that reaches a proxy and no Redis, as processes."""

import pytest

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, Running, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.e2e.test_tls import free_port

__all__ = ["desk"]

FEEDER, MONITOR, ADMIN = (f"cf_{letter * 43}" for letter in "fma")
DOCUMENT = f"""
engine: simulated
job: photos
chunk_size: 20
auth:
  feeder_tokens: [{{name: dora, token: {FEEDER}}}]
  monitor_tokens: [{{name: max, token: {MONITOR}}}]
  admin_tokens: [{{name: amy, token: {ADMIN}}}]
"""
FED = "engine: simulated\nchunk_size: 20\n"


class Lab:
    """A job on a Redis that is known to its operator only, and a proxy to it."""

    def __init__(self, desk: Desk, redis_url: str) -> None:
        self.desk = desk
        self.job = Job(redis_url, "photos")
        self.port = free_port()
        (desk.folder / "job.yaml").write_text(DOCUMENT)
        (desk.folder / "fed.yaml").write_text(FED)
        self.document = ("--config", "job.yaml", "--redis", redis_url)
        self.server = ("--server", f"ws://127.0.0.1:{self.port}")

    def proxy(self, *flags: object) -> Running:
        listen = ("--host", "127.0.0.1", "--port", self.port)
        running = self.desk.start("proxy", *self.document, *listen, *flags)
        wait_until(lambda: "Serving job" in running.out or running.ended, "a proxy that listens")
        return running

    def feed(self, images: object, *flags: object) -> Running:
        environ = {"CAPTION_FLOW_TOKEN": FEEDER}
        told = ("--config", "fed.yaml", *self.server)
        return self.desk.start("feed", images, *told, *flags, environ=environ)

    def caption(self) -> None:
        """Caption all that is fed."""
        done = ("--exit-when-done",)
        worker = self.desk.start("worker", *self.document[2:], "--job", "photos", *done)
        sink = self.desk.start("sink", *self.document, *done)
        assert [worker.wait().code, sink.wait().code] == [0, 0], worker.err + sink.err

    def captions(self) -> list[tuple[str, str]]:
        return said(rows(self.desk.folder / "caption_data" / "photos"))


@pytest.fixture
def lab(desk: Desk, redis_url: str) -> Lab:
    return Lab(desk, redis_url)


def test_feeder_that_is_killed_and_started_again_feeds_each_image_once(lab: Lab):
    """And a later one feeds what is new only."""
    images = draw(lab.desk.folder / "photos", 200)
    lab.proxy()
    killed = lab.feed(images, "--set", "budget.samples=40")
    lab.job.wait_for("offered", 40)
    killed.kill()
    again = lab.feed(images)
    lab.caption()
    assert again.wait().code == 0, again.err
    draw(images, 210)
    more = lab.feed(images)
    assert more.wait().code == 0, more.err
    lab.caption()

    assert lab.captions() == sorted(digests(images).items())
    assert lab.job.count("planned") == lab.job.count("captioned") == 210
    assert "skipped 200 known" in more.out


def test_feeder_is_refused_where_the_proxy_does_not_see_the_parts(lab: Lab):
    images = draw(lab.desk.folder / "photos", 6)
    proxy = lab.proxy()
    assert lab.feed(images).wait().code == 0
    lab.caption()
    proxy.terminate()
    lab.proxy("--set", "storage.data_dir=elsewhere")

    refused = lab.feed(images).wait()

    assert refused.code == 2
    assert "storage.data_dir" in refused.err
    assert lab.job.count("planned") == 6
