"""`caption-flow bench`: the engine by itself, a whole pipeline around it, and what it leaves."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from caption_flow.monitor.workers import ceiling as all_ceilings
from caption_flow.queue.connect import connect
from caption_flow.queue.inspect import RedisInspector
from tests.e2e.desk import Desk, Ended, settings, wait_until
from tests.e2e.pictures import draw
from tests.e2e.runs import processes_in
from tests.fetch.naughty import NaughtyServer, status, whole
from tests.made import jpeg

DOCUMENT = settings(engine="simulated", vllm__batch_size=4)
QUICK = (*DOCUMENT, "--seconds", "0.3")
JPEG = "Content-Type: image/jpeg"
SLOW = settings(simulated__latency="[0.04,0.06]")


@pytest.fixture(scope="module")
def photos(shared_desk: Desk) -> Path:
    folder = draw(shared_desk.folder / "photos", 5)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def ended(shared_desk: Desk, photos: Path) -> Ended:
    """A bench on a few images, in a folder for what is temporary."""
    aside = shared_desk.folder / "aside"
    aside.mkdir()
    words = ("bench", "--images", photos, *QUICK, *SLOW, "--gpu-price", 3.6, "--of", 5000, "--json")
    return shared_desk.start(*words, environ={"TMPDIR": str(aside)}).wait()


@pytest.fixture(scope="module")
def told(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.words
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_share_is_that_of_the_pipeline_in_what_the_engine_makes(told: dict[str, Any]):
    [engine] = told["engines"]

    alone = (engine["paces"][0], engine["after"])
    assert told["ceiling"] == max(pace["captions_per_second"] for pace in alone)
    assert 30 < told["ceiling"] < 4 / 0.04
    assert told["share"] == pytest.approx(told["pipeline"] / told["ceiling"])
    assert 0.1 < told["share"] < 1.5 or engine["unsteady"]
    assert {pace["load"] for pace in engine["paces"]} == {2, 4, 8}
    assert engine["after"]["load"] == 4
    assert "vllm.batch_size: 8" in {found["change"] for found in told["findings"]}


def test_cost_and_time_are_those_of_the_pipeline(told: dict[str, Any]):
    assert told["seconds"] == pytest.approx(5000 / told["pipeline"])
    assert told["cost_per_1000_captions"] == pytest.approx(1 / told["pipeline"])
    assert 20 <= told["output_tokens_per_caption"] <= 60


def test_image_that_no_run_could_caption_is_named_and_left_out(told: dict[str, Any]):
    [left] = told["left_out"]

    assert left["image"].endswith("broken.jpg")
    assert told["run"]["failed"] == 0
    assert told["run"]["written"] == told["run"]["samples"]
    assert told["run"]["repeated"]


def test_nothing_is_left_but_the_ceiling(shared_desk: Desk, told: dict[str, Any]):
    assert told
    there = {path.name for path in shared_desk.folder.iterdir()}

    assert there == {"aside", "photos", ".output", ".local"}
    assert list((shared_desk.folder / "aside").iterdir()) == []
    kept = shared_desk.folder / ".local/state/caption-flow/ceilings.json"
    assert [one["rate"] for one in json.loads(kept.read_text()).values()] == [told["ceiling"]]


def test_worker_with_those_settings_tells_its_ceiling(
    shared_desk: Desk, photos: Path, told: dict[str, Any], redis_url: str
):
    fed = shared_desk.run("feed", "--redis", redis_url, photos, *DOCUMENT, *SLOW)
    assert fed.code == 0, fed.words
    worker = shared_desk.start("worker", "--redis", redis_url)

    async def ceiling() -> float | None:
        async with connect(redis_url, role="test") as connections:
            return all_ceilings(await RedisInspector(connections, "photos").snapshot())

    found = wait_until(lambda: asyncio.run(ceiling()), "a worker that tells its ceiling")

    assert found == told["ceiling"]
    assert worker.terminate().code == 0


def test_folder_without_an_image_fails_and_what_is_no_folder_is_wrong_usage(desk: Desk):
    (desk.folder / "empty").mkdir()

    empty = desk.run("bench", "--images", desk.folder / "empty", *QUICK)
    missing = desk.run("bench", "--images", desk.folder / "none", *QUICK)

    assert empty.code == 1
    assert "There is no image to measure with" in empty.err
    assert missing.code == 2
    assert "this is no folder" in missing.err


def test_stopped_bench_leaves_nothing_behind(desk: Desk, tmp_path_factory: pytest.TempPathFactory):
    folder = draw(desk.folder / "photos", 2)
    aside = tmp_path_factory.mktemp("aside")  # a short path: a socket goes there
    words = ("bench", "--images", folder, *QUICK, *settings(simulated__latency="[0.02,0.02]"))
    running = desk.start(*words, "--seconds", 2, environ={"TMPDIR": str(aside)})
    wait_until(
        lambda: running.ended or "Captioning with simulated" in running.err, "a pipeline that runs"
    )

    ended = running.interrupt()

    assert ended.code == 1, ended.words
    assert list(aside.iterdir()) == []
    wait_until(lambda: not processes_in(desk.folder), "no process")


def listed(desk: Desk, urls: list[str]) -> tuple[str, ...]:
    (desk.folder / "urls.txt").write_text("\n".join(urls))
    return settings(
        dataset__type="urls",
        dataset__dataset_path=desk.folder / "urls.txt",
        dataset__allow_networks='["127.0.0.1"]',
        dataset__download__per_host=64,
    )


def test_images_that_workers_fetch_are_fetched_from_networks_that_the_document_allows(desk: Desk):
    with NaughtyServer() as web:
        urls = [web.serve(f"/{n}.jpg", jpeg(n), JPEG) for n in range(200)]

        ended = desk.run("bench", *QUICK, *SLOW, *listed(desk, urls), "--json")

    assert ended.code == 0, ended.words
    told = json.loads(ended.out)
    assert told["run"]["written"] == told["run"]["samples"]
    assert not told["run"]["repeated"]


def test_pipeline_that_gives_all_up_says_why(desk: Desk):
    with NaughtyServer() as web:
        urls = [web.on(f"/{n}.jpg", whole(jpeg(n), JPEG), status(404)) for n in range(64)]
        urls += [web.url(f"/{n}.jpg") for n in range(64, 200)]  # as good as gone

        ended = desk.run("bench", *QUICK, *SLOW, *listed(desk, urls), "--json")

    assert ended.code == 1, ended.words
    assert "The pipeline made no caption; it gave up" in ended.err
    assert "64 not_found)" in ended.err
