"""Each role once from a new Python, from its first import to the end of its interpreter.

Other tests start roles warm, which see neither what a role itself imports, nor how Python ends.
"""

import re
from pathlib import Path

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said

TOKEN = "cf_the-token-of-ann"
DOCUMENT = f"auth: {{worker_tokens: [{{name: ann, token: {TOKEN}}}]}}\n"
SIMULATED = settings(engine="simulated", dataset__dataset_path="photos")
PORT = re.compile(r"on (ws://127\.0\.0\.1:\d+)")


def test_roles_from_a_new_python_do_their_work_and_end_well(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 9)
    run = desk.start("run", "--job", "alone", *SIMULATED, cold=True)
    orchestrator = start_orchestrator(desk, redis_url)
    apart = start_apart(desk, "--redis", redis_url, "--job", "apart")

    ended = {name: role.wait() for name, role in apart.items() if name != "proxy"}
    ended["run"] = run.wait()
    ended["proxy"] = apart["proxy"].terminate()
    Job(redis_url, "led").wait_for("offered", 9)
    ended["orchestrator"] = orchestrator.terminate()

    assert {name: end.code for name, end in ended.items()} == dict.fromkeys(ended, 0), ended
    assert [end.words for end in ended.values() if "Traceback" in end.err] == []
    assert ended["feed"].out.startswith("Fed 9 samples (")
    assert ended["worker"].out == "Captioned 9 samples; gave up 0.\n"
    assert ended["sink"].out == "Wrote 9 captions to caption_data/apart.\n"
    assert ended["orchestrator"].out.splitlines()[-1] == "0 of 9 captioned, 0 given up."
    assert contributors(desk, "apart", images) == {"ann"}
    assert contributors(desk, "alone", images) == {None}


def start_orchestrator(desk: Desk, url: str) -> Running:
    at = ("--redis", url, "--job", "led")
    return desk.start("orchestrator", *at, *SIMULATED, "--no-proxy", cold=True)


def start_apart(desk: Desk, *at: str) -> dict[str, Running]:
    """One process of each role, with the worker before the door of the proxy."""
    (desk.folder / "proxy.yaml").write_text(DOCUMENT)
    where = ("--config", "proxy.yaml", "--host", "127.0.0.1", "--port", 0)
    started = {
        "proxy": desk.start("proxy", *at, *where, cold=True),
        "feed": desk.start("feed", *at, *SIMULATED, cold=True),
        "sink": desk.start("sink", *at, *SIMULATED, "--exit-when-done", cold=True),
    }
    proxy = started["proxy"]
    door = wait_until(lambda: PORT.search(proxy.out) or proxy.ended, "an open door")
    assert isinstance(door, re.Match), proxy.err
    way = ("--server", door[1], "--token", TOKEN)
    return started | {"worker": desk.start("worker", *way, "--exit-when-done", cold=True)}


def contributors(desk: Desk, job: str, images: Path) -> set[str | None]:
    """Who captioned the images, each of which has one caption, its own."""
    found = rows(desk.folder / "caption_data" / job)
    assert said(found) == sorted(digests(images).items())
    return {row["contributor"] for row in found}
