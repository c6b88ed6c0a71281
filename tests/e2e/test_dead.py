"""Dead letters, from bad images to captions: mended on disk, retried, fed and captioned once."""

import json
from pathlib import Path

from tests.e2e.desk import Desk, Ended, settings, wait_until
from tests.e2e.jobs import Job, embedded
from tests.e2e.pictures import digests, draw, rows, said
from tests.e2e.runs import SLOW, assert_complete

GOOD = 20
# Decoded as they are, so that a worker finds what the feeder cannot.
DECODING = settings(engine="simulated", simulated__decode="true", images__max_side="null")
BAD = ("00003.jpg", "00011.jpg")


def spoil(folder: Path) -> dict[Path, bytes]:
    """Make one image no image, and cut one off; answers what they were."""
    first, second = whole = {folder / name: (folder / name).read_bytes() for name in BAD}
    first.write_text("This is no image.")
    second.write_bytes(whole[second][: len(whole[second]) // 2])
    return whole


def mend(whole: dict[Path, bytes]) -> None:
    for path, data in whole.items():
        path.write_bytes(data)


def go_round(desk: Desk, images: Path, url: str) -> list[Ended]:
    flags = ("--redis", url, "--job", "photos")
    # Alone: a job that was done is done for the others too until this one has planned more.
    feed = desk.run("feed", images, *flags, *DECODING)
    started = [
        desk.start("worker", *flags, "--exit-when-done"),
        desk.start("sink", *flags, "--exit-when-done", *DECODING),
    ]
    return [feed, *(command.wait() for command in started)]


def test_mended_image_is_retried_and_captioned_once(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", GOOD)
    whole = spoil(images)
    job = Job(redis_url, "photos")
    first = go_round(desk, images, redis_url)
    assert [end.code for end in first] == [0, 0, 0], first
    assert job.counts()["dead"] == job.length("dead") == len(BAD)

    mend(whole)
    done = desk.run("dead", "retry", "--redis", redis_url, "--all")
    second = go_round(desk, images, redis_url)

    assert done.code == 0, done.words
    assert [end.code for end in second] == [0, 0, 0], second
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())
    counts = job.counts()
    assert counts["planned"] == counts["offered"] == counts["captioned"] == GOOD
    assert (counts["dead"], counts["bytes_in_flight"], job.length("dead")) == (0, 0, 0)
    assert set(job.lengths().values()) == {0}


def test_feeding_again_after_a_retry_plans_nothing_twice(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", GOOD)
    whole = spoil(images)
    go_round(desk, images, redis_url)
    mend(whole)
    desk.run("dead", "retry", "--redis", redis_url, "--all")
    go_round(desk, images, redis_url)
    draw(images, 2, first=GOOD)

    third = go_round(desk, images, redis_url)

    assert third[0].out.startswith("Fed 2 samples (")
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())


def test_dropped_samples_are_not_fed_again(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", GOOD)
    whole = spoil(images)
    go_round(desk, images, redis_url)
    dropped = desk.run("dead", "drop", "--redis", redis_url, "--all", "--yes")
    assert dropped.out == "Dropped 2 dead letters.\n"
    mend(whole)
    draw(images, 1, first=GOOD)

    again = go_round(desk, images, redis_url)

    assert again[0].out.startswith("Fed 1 sample (")
    found = {row["id"] for row in rows(desk.folder / "caption_data" / "photos")}
    assert found == digests(images).keys() - set(BAD)
    counts = Job(redis_url, "photos").counts()
    assert counts["planned"] == counts["captioned"] == GOOD + 1 - len(BAD)


def test_retry_while_a_run_is_at_work_is_fed_by_it(desk: Desk):
    """Its feeder had ended long before."""
    images = draw(desk.folder / "photos", 300)
    bad = images / BAD[0]
    whole = bad.read_bytes()
    bad.write_text("This is no image.")
    run = desk.start("run", "photos", *SLOW)
    job = embedded(desk.folder / "caption_data", "photos")
    job.wait_for("dead", 1)
    wait_until(lambda: job.count("plan_done") and not job.pids("feed"), "a feeder that ended")

    bad.write_bytes(whole)
    done = desk.run("dead", "retry", "--all")

    assert (done.code, run.ended) == (0, False), done.words
    ended = run.wait()
    assert ended.code == 0, ended.words
    assert_complete(desk, "photos", ended.words)


def test_sampling_of_a_retry_reaches_the_sample(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 3)
    (images / "00001.jpg").write_text("This is no image.")
    go_round(desk, images, redis_url)

    flags = ("--redis", redis_url, "--all", "--set", "temperature=0.8")
    assert desk.run("dead", "retry", *flags).code == 0
    go_round(desk, images, redis_url)  # still bad

    [line] = desk.run("dead", "list", "--json", "--redis", redis_url).out.splitlines()
    assert json.loads(line)["sample"]["sampling"] == {"temperature": 0.8}
