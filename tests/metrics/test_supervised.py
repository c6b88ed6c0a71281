"""A job on one machine, watched at the process that looks after its roles."""

import json
from pathlib import Path

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, settings, wait_until
from tests.e2e.pictures import draw
from tests.metrics.scrape import Scrape, get
from tests.redis_server import free_port

__all__ = ["desk"]

IMAGES = 8
SLOW = settings(engine="simulated", simulated__latency="[0.5, 0.5]", simulated__slots=1)


def test_run_tells_of_its_job_and_its_roles_leave_it_the_port(desk: Desk):
    images = draw(desk.folder / "photos", IMAGES)
    port = free_port()
    environ = {"CAPTION_FLOW_METRICS_PORT": str(port), "CAPTION_FLOW_LOG_FORMAT": "json"}
    running = desk.start("run", images, *SLOW, environ=environ)
    wait_until(lambda: "Metrics are at" in running.err, "its port")
    assert get(port, "/healthz").status == 200
    wait_until(lambda: get(port, "/readyz").status == 200, "readiness")

    def done() -> Scrape | None:
        told = Scrape(get(port, "/metrics").body)
        names = "caption_flow_samples" in told.names
        return told if names and told["caption_flow_captions_unwritten"] >= 2 else None

    told = wait_until(done, "the first captions")
    ended = running.wait()

    assert told["caption_flow_samples"] == told["caption_flow_samples_planned"] == IMAGES
    assert told.of("caption_flow_members", role="worker", state="working") == 1
    assert told.ones("caption_flow_process_state", "state") == ["working"]
    assert ended.code == 0, ended.words
    assert all(json.loads(line)["job"] == "photos" for line in ended.err.splitlines()[1:])
    assert {_role_of(log) for log in _logs(desk, "sink", "worker-0")} == {"sink", "worker"}


def _logs(desk: Desk, *names: str) -> list[Path]:
    return [desk.folder / "caption_data" / ".logs" / "photos" / f"{name}.log" for name in names]


def _role_of(log: Path) -> str:
    """Which role says its lines; its last line, on standard output, is for people."""
    *lines, last = log.read_text().splitlines()
    assert not last.startswith("{")
    [role] = {json.loads(line)["role"] for line in lines}
    return str(role)
