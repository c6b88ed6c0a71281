"""What processes tell of themselves while they work, as monitors see it."""

from typing import Any

from caption_flow import __version__
from tests.e2e.desk import Desk, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import draw


def told(job: Job, role: str) -> dict[str, Any]:
    """The last word of the process of this role; empty before its first."""
    return next((m for m in job.members().values() if m["role"] == role), {"facts": {}})


def running(job: Job) -> dict[str, Any] | None:
    """The last word of the worker, if its engine was at work."""
    worker = told(job, "worker")
    return worker if worker.get("figures", {}).get("running") else None


def test_processes_tell_what_they_do_and_what_went_wrong(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 400)
    (images / "00000-first.jpg").write_bytes(b"no image at all")
    flags = ("--redis", redis_url, "--job", "photos")
    job = Job(redis_url, "photos")
    slow = settings(
        engine="simulated", simulated__latency="[0.3, 0.3]", budget__samples=20, chunk_size=10
    )
    desk.start("feed", images, *flags, *slow)
    desk.start("worker", *flags, "--batch-size", 2)
    desk.start("sink", *flags, "--set", "storage.rows_per_part=5")

    wait_until(lambda: "last_error" in told(job, "feed")["facts"], "a feeder that gave up an image")
    wait_until(lambda: "last_part" in told(job, "sink")["facts"], "a part")
    worker = wait_until(lambda: running(job), "a worker with samples in its engine")
    feeder, sink = told(job, "feed"), told(job, "sink")

    assert feeder["facts"]["last_error"].startswith("00000-first.jpg: not_an_image, ")
    assert float(feeder["facts"]["last_error_at"]) >= int(feeder["started"])
    assert feeder["facts"]["dataset"] == "photos"
    assert feeder["figures"]["budget_samples"] == 20
    assert worker["facts"]["engine"] == "simulated"
    assert worker["facts"]["stages"] == "caption"
    assert worker["figures"]["slots"] == 2
    assert worker["figures"]["running"] <= 2
    assert sink["figures"]["last_part_rows"] == 5
    assert sink["facts"]["folder"] == "caption_data/photos"
    assert {one["facts"]["version"] for one in (feeder, worker, sink)} == {__version__}


def test_worker_tells_what_failed_last(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 3)
    flags = ("--redis", redis_url, "--job", "photos")
    job = Job(redis_url, "photos")
    desk.run("feed", images, *flags, *settings(engine="simulated", simulated__decode="true"))
    job.cli("DEL", job.key("images"))
    desk.start("worker", *flags)

    wait_until(lambda: "last_error" in told(job, "worker")["facts"], "a worker with an error")

    assert ".jpg: image_gone, " in told(job, "worker")["facts"]["last_error"]
