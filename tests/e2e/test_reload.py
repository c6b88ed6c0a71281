"""Settings that an operator changes while a job runs stay, whoever dies and is started again."""

import os
import signal

from caption_flow.config.broadcast import fingerprint
from caption_flow.config.vllm import Stage
from tests.e2e.desk import Desk, settings, wait_until
from tests.e2e.jobs import embedded
from tests.e2e.pictures import digests, draw, rows, said
from tests.e2e.test_orchestrator import SIMULATED, start

SAMPLES, ROOM = 40, 10  # samples of the job, and those that the feeder has room for
GIVEN = settings(budget__samples=ROOM, lease_seconds=2, storage__seconds_per_part=1)
NEW = settings(vllm__inference_prompts="Name it.")


def test_reloaded_settings_outlive_a_feeder_that_is_killed(desk: Desk):
    """Its supervisor starts it again with the document of before."""
    draw(desk.folder / "photos", SAMPLES)
    running, words = start(desk, "--exit-when-done", *GIVEN)
    job = embedded(desk.folder / "caption_data", "photos")
    job.wait_for("offered", ROOM)

    reloaded = desk.run("reload_config", "--yes", *SIMULATED, *GIVEN, *NEW)
    [killed] = job.pids("feed")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: set(job.pids("feed")) - {killed}, "a feeder that is started again")
    worked = desk.start(*words, "--exit-when-done").wait()
    ended = running.wait()

    assert [reloaded.code, worked.code, ended.code] == [0, 0, 0], reloaded.words + ended.words
    found = rows(desk.folder / "caption_data" / "photos")
    assert said(found) == sorted(digests(desk.folder / "photos").items())
    made = {(row["settings_version"], row["prompts"]) for row in found}
    assert made == {(2, fingerprint(Stage("caption", "", ("Name it.",))))}
    log = next(desk.folder.glob("caption_data/.logs/photos/feed*")).read_text()
    assert "The job keeps its settings of version 2, from reload_config on " in log
