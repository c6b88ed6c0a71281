"""Several folders of captions are one data set: more samples, or more said of the same."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.errors import SourceError
from tests.feeders.captioned import columns, photos, read, sample, source, write


def test_jobs_over_different_images_are_one_after_another(tmp_path: Path):
    cats = write(tmp_path / "cats", photos(tmp_path / "photos", "a/1.jpg", "b/1.jpg"))
    dogs = write(tmp_path / "dogs", photos(tmp_path / "others", "a/0.jpg", "c/1.jpg"))

    found = columns(source(cats, dogs))

    assert list(found) == ["a/0.jpg", "a/1.jpg", "b/1.jpg", "c/1.jpg"]
    assert all(told == {"captions": [f"captions of {id_}"]} for id_, told in found.items())


def test_jobs_over_the_same_images_give_each_sample_the_columns_of_both(tmp_path: Path):
    samples = photos(tmp_path / "photos", "1.jpg", "2.jpg", "3.jpg")
    first = write(tmp_path / "first", samples)
    second = write(tmp_path / "second", samples[:2], per_part=1)
    tags = write(tmp_path / "tags", samples[1:], output="tags")

    assert columns(source(first, second, tags)) == {
        "1.jpg": {
            "captions": ["captions of 1.jpg"],
            "captions_second": ["captions of 1.jpg"],
        },
        "2.jpg": {
            "captions": ["captions of 2.jpg"],
            "captions_second": ["captions of 2.jpg"],
            "tags": ["tags of 2.jpg"],
        },
        "3.jpg": {"captions": ["captions of 3.jpg"], "tags": ["tags of 3.jpg"]},
    }


def test_own_columns_that_are_the_same_are_carried_once(tmp_path: Path):
    [one] = photos(tmp_path / "photos", "1.jpg")
    jobs = [
        write(tmp_path / name, [replace(one, columns={"title": "a", "seen": n})], output=name)
        for n, name in enumerate(("x", "y"))
    ]

    assert columns(source(*jobs))["1.jpg"] == {
        "x": ["x of 1.jpg"],
        "y": ["y of 1.jpg"],
        "title": "a",
        "seen": 0,
        "seen_y": 1,
    }


def test_folders_called_alike_are_told_apart(tmp_path: Path):
    samples = photos(tmp_path / "photos", "1.jpg")
    jobs = [write(tmp_path / host / "job", samples) for host in "abc"]

    assert list(columns(source(*jobs))["1.jpg"]) == ["captions", "captions_job_2", "captions_job_3"]


def test_images_that_share_an_id_are_never_mixed_up(tmp_path: Path):
    cats = write(tmp_path / "cats", photos(tmp_path / "photos", "1.jpg"))
    other = replace(sample("/elsewhere", ".", "1.jpg"), sha256="another")
    dogs = write(tmp_path / "dogs", [other])

    with pytest.raises(SourceError, match=r"both have a sample 1\.jpg, but of different images"):
        list(read(source(cats, dogs, image_root=str(tmp_path / "photos"))))


def test_images_that_may_be_two_are_told_and_the_others_are_read(tmp_path: Path):
    cats = photos(tmp_path / "cats", "1.jpg", "2.jpg")
    first = write(tmp_path / "first", [replace(cats[0], sha256=""), cats[1]])
    second = write(tmp_path / "second", [photos(tmp_path / "dogs", "1.jpg")[0], cats[1]])

    doubtful, sure = read(source(first, second, image_root=str(tmp_path)))

    assert (doubtful.id, doubtful.image) == ("1.jpg", b"")
    assert f"both have it, from {tmp_path}/cats/1.jpg and {tmp_path}/dogs/1." in doubtful.error
    assert (sure.error, list(sure.columns)) == ("", ["captions", "captions_second"])


def test_a_data_set_that_was_moved_between_two_jobs_is_the_same(tmp_path: Path):
    samples = photos(tmp_path / "photos", "1.jpg")
    moved = [replace(one, source=f"/before/{one.id}") for one in samples]
    jobs = write(tmp_path / "x", samples), write(tmp_path / "y", moved)

    made = source(*jobs, image_root=str(tmp_path / "photos"))

    assert list(columns(made)["1.jpg"]) == ["captions", "captions_y"]
