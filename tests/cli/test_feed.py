"""`caption-flow feed`: a part of a data set, and what would be fed."""

import pytest

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.pictures import draw

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
