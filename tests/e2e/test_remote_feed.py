"""A feeder that reaches a proxy and no Redis, as processes."""

import json

import pytest

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, Ended, Running, wait_until
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

    def start(self, token: str, *words: object) -> Running:
        """Start a command of somebody who reaches no Redis."""
        return self.desk.start(*words, *self.server, environ={"CAPTION_FLOW_TOKEN": token})

    def ask(self, token: str, *words: object) -> Ended:
        return self.start(token, *words).wait()

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
    assert "Would feed 10 samples" in lab.feed(images, "--dry-run").wait().out
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


def test_monitors_look_at_a_job_and_change_nothing(lab: Lab):
    images = draw(lab.desk.folder / "photos", 6)
    lab.proxy()
    assert lab.feed(images).wait().code == 0

    status = lab.ask(MONITOR, "status", "--json")
    shards = lab.ask(MONITOR, "status", "--shards", "--json")
    forbidden = lab.ask(MONITOR, "pause")
    stranger = lab.ask("cf_" + "x" * 43, "status")
    monitor = lab.start(MONITOR, "monitor")
    wait_until(lambda: "photos" in monitor.out or monitor.ended, "a monitor that shows the job")

    assert json.loads(status.out)["books"]["planned"] == 6, status.words
    assert json.loads(shards.out) == {"name": ".", "planned": 6, "captioned": 0, "dead": 0}
    assert forbidden.code == stranger.code == 2
    assert "not for the role admin" in forbidden.err
    assert "does not accept the token" in stranger.err
    assert monitor.interrupt().code == 0


def test_operators_run_a_job_through_its_proxy(lab: Lab):
    """Settings, orders, tokens and contributors, by somebody who reaches no Redis."""
    images = draw(lab.desk.folder / "photos", 6)
    lab.proxy()
    assert lab.feed(images).wait().code == 0

    assert lab.ask(ADMIN, "status").code == 0
    changed = lab.ask(
        ADMIN, "reload_config", "--config", "fed.yaml", "--yes", "--set", "vllm.batch_size=3"
    )
    assert "Published as version 2" in changed.out, changed.words
    assert "Paused" in lab.ask(ADMIN, "pause").out
    again = lab.ask(ADMIN, "pause")
    assert "paused already, by amy on" in again.out, again.words
    assert "goes on" in lab.ask(ADMIN, "resume").out
    added = lab.ask(ADMIN, "auth", "add", "ann")
    assert 'Added the token of "ann"' in added.out, added.words
    token = added.out.split()[0]
    worker = lab.start(token, "worker", "--name", "far")
    sink = lab.desk.start("sink", *lab.document)
    lab.job.wait_for("captioned", 6)
    shown = lab.ask(ADMIN, "contributors", "show", "ann", "--json")
    assert json.loads(shown.out)["captions"] == 6, shown.words
    member = next(name for name in map(str, lab.job.members()) if "ann/" in name)
    drained = lab.ask(ADMIN, "drain", member.partition(":")[2])
    assert drained.code == 0, drained.words
    assert worker.wait().code == 0, worker.err
    refused = lab.ask(ADMIN, "contributors", "revoke", "ann", "--requeue", "--yes")
    assert refused.code == 2
    assert "takes rows out of the parts" in refused.err
    revoked = lab.ask(ADMIN, "contributors", "revoke", "ann", "--yes")
    assert "Removed the token of ann" in revoked.out, revoked.words
    late = lab.start(token, "worker").wait()
    assert late.code == 2
    assert "does not accept the token" in late.err
    assert sink.terminate().code == 0
