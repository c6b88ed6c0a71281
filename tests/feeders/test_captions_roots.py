"""Which folders of this host rows may lead into, and which image is found there."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

from caption_flow.errors import ConfigError
from caption_flow.model import Raw, Sample
from tests.feeders.captioned import photos, read, sample, seen, source, write
from tests.made import jpeg


def moved(tmp_path: Path, *paths: str) -> list[Sample]:
    """Samples of a folder that is now beneath another, which still has its name."""
    samples = photos(tmp_path / "photos", *paths)
    (tmp_path / "new").mkdir()
    (tmp_path / "photos").rename(tmp_path / "new" / "photos")
    return samples


def read_one(job: Path, root: Path) -> Raw:
    [raw] = read(source(job, image_root=str(root)))
    return raw


def test_images_of_several_folders_are_read_beneath_the_one_that_is_named(tmp_path: Path):
    both = [*photos(tmp_path / "one", "a/1.jpg"), *photos(tmp_path / "two", "a/2.jpg", "a/3.jpg")]
    job = write(tmp_path / "first", both)

    found = [(raw.id, raw.image) for raw in read(source(job, image_root=str(tmp_path)))]

    assert found == [("a/1.jpg", jpeg(0)), ("a/2.jpg", jpeg(0)), ("a/3.jpg", jpeg(1))]


def test_first_images_of_several_folders_need_one_to_be_named(tmp_path: Path):
    """Whoever feeds through a proxy could else have any image of this host captioned."""
    both = [*photos(tmp_path / "one", "1.jpg"), *photos(tmp_path / "two", "2.jpg")]
    job = write(tmp_path / "first", both)

    with pytest.raises(ConfigError, match=r"lie in several folders: .*/one, .*/two\. Set "):
        source(job)


def test_first_images_are_those_of_several_parts_where_these_are_small(tmp_path: Path):
    both = [*photos(tmp_path / "one", "1.jpg"), *photos(tmp_path / "two", "2.jpg")]

    with pytest.raises(ConfigError, match="lie in several folders"):
        source(write(tmp_path / "first", both, per_part=1))


def test_without_a_name_only_the_folder_of_the_first_images_is_read(tmp_path: Path):
    many = photos(tmp_path / "one", *(f"{n:02}.jpg" for n in range(16)))
    both = [*many, *photos(tmp_path / "two", "99.jpg")]

    *others, last = read(source(write(tmp_path / "first", both, per_part=20)))

    assert ({raw.error for raw in others}, last.image) == ({""}, b"")
    assert "Set dataset.image_root to the folder that holds all" in last.error


def test_a_folder_may_be_spelled_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    absolute, relative = photos(tmp_path / "photos", "1.jpg", "2.jpg")
    job = write(tmp_path / "first", [absolute, replace(relative, source="photos/2.jpg")])

    assert [raw.error for raw in read(source(job))] == ["", ""]


@pytest.mark.parametrize(("id_", "root"), [("tmp/x.jpg", "/"), ("x.jpg", "/home")])
def test_no_row_opens_a_folder_that_holds_more_than_images(tmp_path: Path, id_: str, root: str):
    shard, _, name = id_.rpartition("/")
    stray = replace(
        sample(root.rstrip("/"), shard or ".", name), source=f"{root.rstrip('/')}/{id_}"
    )

    with pytest.raises(ConfigError, match=rf"lie in {root}, which holds more than images"):
        source(write(tmp_path / "first", [stray]))


def test_a_file_among_urls_opens_no_folder(tmp_path: Path):
    url = replace(sample("", "t.csv", "0-aa"), source="https://example.com/1.jpg")
    job = write(tmp_path / "first", [url, *photos(tmp_path / "private", "x/1.jpg")])

    found = {raw.id: raw for raw in read(source(job))}

    assert found["t.csv/0-aa"].reference
    assert (found["x/1.jpg"].image, found["x/1.jpg"].error[:8]) == (b"", "it lies ")


def test_a_folder_that_was_moved_may_be_named_by_the_one_that_holds_it_now(tmp_path: Path):
    job = write(tmp_path / "first", moved(tmp_path, "a/1.jpg"))

    for root in (tmp_path / "new", tmp_path / "new" / "photos"):
        assert read_one(job, root).image == jpeg(0)


def test_a_folder_called_like_the_one_that_was_moved_may_lie_in_it(tmp_path: Path):
    samples = photos(tmp_path / "photos", "1.jpg")
    photos(tmp_path / "photos" / "photos", "2.jpg")
    (tmp_path / "photos").rename(tmp_path / "photos-2")
    job = write(tmp_path / "first", samples)

    assert read_one(job, tmp_path / "photos-2").image == jpeg(0)


def test_the_name_of_a_folder_that_was_moved_does_not_lead_out(tmp_path: Path):
    (tmp_path / "1.jpg").write_bytes(jpeg(7))
    (tmp_path / "new").mkdir()
    stray = replace(sample("/gone", ".", "1.jpg"), source="/gone/../1.jpg", sha256="")

    assert read_one(write(tmp_path / "first", [stray]), tmp_path / "new").image == b""


def test_another_image_of_the_same_name_does_not_get_the_caption(tmp_path: Path):
    job = write(tmp_path / "first", moved(tmp_path, "a/1.jpg", "a/2.jpg"))
    (tmp_path / "new" / "photos" / "a" / "1.jpg").write_bytes(jpeg(5))

    other, same = read(source(job, image_root=str(tmp_path / "new")))

    assert (other.image, other.reason) == (b"", "changed")
    assert "/new/photos/a/1.jpg is another image than the one that was captioned. " in other.error
    assert (same.image, same.error) == (jpeg(1), "")


def picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("was", "now", "error"),
    [
        ((301, 200), (301, 200), ""),
        ((301, 200), (200, 301), "is another image"),
        ((301, 200), (30, 20), "is another image"),
        ((30, 20), (60, 40), "is another image"),
    ],
)
def test_an_image_that_was_shrunk_is_known_by_its_shape(
    tmp_path: Path, was: tuple[int, int], now: tuple[int, int], error: str
):
    [bare] = photos(tmp_path / "photos", "1.jpg")
    job = write(tmp_path / "first", [seen(bare, picture(*was), max_side=100)])
    (tmp_path / "photos" / "1.jpg").write_bytes(picture(*now))

    found = read_one(job, tmp_path / "photos")

    assert error in found.error
    assert bool(found.image) == (not error)
