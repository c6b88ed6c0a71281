"""`caption-flow feed`: a part of a data set, and what would be fed."""

import pytest
from redis import Redis

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.pictures import draw
from tests.fetch.naughty import NaughtyServer

SIMULATED = settings(engine="simulated")


@pytest.fixture
def photos(desk: Desk) -> Desk:
    """Two shards of images, two and three."""
    draw(desk.folder / "photos" / "a", 2)
    draw(desk.folder / "photos" / "b", 3, first=2)
    return desk


def feed(desk: Desk, *arguments: object) -> Ended:
    return desk.run("feed", "photos", *SIMULATED, *arguments)


def test_dry_run_needs_no_redis_and_says_what_would_be_fed(photos: Desk):
    size = sum(file.stat().st_size for file in photos.folder.rglob("*.jpg"))

    told = feed(photos, "--dry-run")

    assert told.code == 0, told.words
    assert told.out == (
        f"Would feed 5 samples ({size / 1024:.1f} KiB) of 2 shards; would skip 0 known.\n"
    )


def test_what_was_fed_is_known_to_a_dry_run(photos: Desk, redis_url: str):
    here = ("--redis", redis_url)
    fed = feed(photos, *here, "--shards", "b", "--limit", 2)

    told = feed(photos, *here, "--dry-run")

    assert fed.out.startswith("Fed 2 samples"), fed.words
    assert "Would feed 3 samples" in told.out, told.words
    assert "of 2 shards; would skip 2 known." in told.out


@pytest.mark.parametrize("share", ["0%", "101%", "half"])
def test_share_that_is_none_is_told(photos: Desk, share: str):
    told = feed(photos, "--dry-run", "--sample", share)

    assert told.code == 2, told.words
    assert "sample" in told.err
    assert "Traceback" not in told.err


def table(desk: Desk, server: NaughtyServer, count: int = 30) -> None:
    lines = [f"{server.serve(f'/{n}.jpg', b'no image')},t{n}" for n in range(count)]
    (desk.folder / "links.csv").write_text("\n".join(["image_url,title", *lines]))


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_prompt_that_names_an_unknown_column_ends_feed_before_anything_is_there(
    desk: Desk, redis_url: str, more: tuple[str, ...]
):
    asking = settings(dataset__type="urls", vllm__inference_prompts="{titel}", job="new")
    with NaughtyServer() as server:
        table(desk, server)

        told = desk.run("feed", "links.csv", *SIMULATED, *asking, "--redis", redis_url, *more)

        assert server.seen == []
    assert told.code == 2, told.words
    assert told.err == (
        "Error: vllm.inference_prompts[0] has {titel}, but the data set has no such column; "
        'did you mean "title"?\nColumns of the data set: "title". '
        "Where not every image needs to have one, give a default: {titel|a text}.\n"
    )
    with Redis.from_url(redis_url) as redis:
        assert redis.exists("cf:{new}:settings") == 0


def test_feeder_that_fetches_images_fetches_one_for_a_look(desk: Desk, redis_url: str):
    asking = settings(dataset__type="urls", vllm__inference_prompts="{titel}")
    fetching = settings(dataset__fetch="feeder", dataset__allow_networks="127.0.0.1")
    with NaughtyServer() as server:
        table(desk, server)

        told = desk.run("feed", "links.csv", *SIMULATED, *asking, *fetching, "--redis", redis_url)

        assert len(server.seen) == 1
    assert told.code == 2, told.words
    assert 'did you mean "title"?' in told.err


def test_run_ends_with_what_its_feeder_says_of_a_prompt(photos: Desk):
    told = photos.run("run", "photos", *SIMULATED, "--prompt", "About {title}")

    assert told.code == 2, told.words
    assert "vllm.inference_prompts[0] has {title}, but the data set has no such" in told.err


def test_prompt_file_of_a_flag_is_read_where_the_command_runs(photos: Desk):
    (photos.folder / "detail.txt").write_text("About {titel}\n")

    told = photos.run(
        "feed",
        "photos",
        "--dry-run",
        *settings(vllm__model="m"),
        *settings(vllm__inference_prompts="@detail.txt"),
    )

    assert told.code == 2, told.words
    assert "has {titel}" in told.err
