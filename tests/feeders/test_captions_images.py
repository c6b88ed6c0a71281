"""Where the images are found that an earlier job captioned."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Raw, Reference, Sample
from tests.feeders import tars
from tests.feeders.captioned import photos, read, sample, source, write
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg


def of(raws: list[Raw], root: str) -> list[Sample]:
    """Samples as the feeder of these would have made them."""
    return [
        replace(sample(root, *raw.id.rsplit("/", 1)), source=raw.source, columns=raw.columns)
        for raw in raws
    ]


def by_url(*urls: str) -> list[Sample]:
    return [replace(sample("", "t.csv", f"{n}-aa"), source=url) for n, url in enumerate(urls)]


def test_images_behind_urls_travel_by_reference(tmp_path: Path):
    url = "https://example.com/1.jpg#now"
    job = write(tmp_path / "first", by_url(url))

    [raw] = read(source(job))

    assert (raw.id, raw.source, raw.reference) == ("t.csv/0-aa", url, Reference(url))


def test_images_behind_urls_are_fetched_where_they_are_to_be_inline(tmp_path: Path):
    with NaughtyServer() as web:
        urls = [web.serve(f"/{n}.jpg", jpeg(n)) for n in range(3)]
        bad = "https://", web.url("/gone")
        job = write(tmp_path / "first", by_url(*urls, *bad))

        found = list(read(source(job, images="inline", allow_networks=("127.0.0.1",))))

    assert [raw.image for raw in found[:3]] == [jpeg(n) for n in range(3)]
    assert [raw.columns["captions"] for raw in found[:3]] == [
        [f"captions of t.csv/{n}-aa"] for n in range(3)
    ]
    assert all(raw.error for raw in found[3:])


def test_a_folder_that_was_moved_is_told_and_may_be_named(tmp_path: Path):
    job = write(tmp_path / "first", photos(tmp_path / "photos", "a/1.jpg"))
    (tmp_path / "photos").rename(tmp_path / "moved")

    with pytest.raises(SourceError, match=r"not where they were captioned: .*dataset\.image_root"):
        source(job)
    [raw] = read(source(job, image_root=str(tmp_path / "moved")))
    assert raw.image == jpeg(0)


def test_an_odd_row_is_told_and_the_others_are_read(tmp_path: Path):
    odd = replace(sample("", "t.csv", "0-aa"), source="ftp://example.com/1.jpg")
    job = write(tmp_path / "first", [odd, *photos(tmp_path / "photos", "1.jpg")])

    found = {raw.id: raw.error for raw in read(source(job))}

    assert found["1.jpg"] == ""
    assert found["t.csv/0-aa"].startswith("it lies within ftp://example.com/1.jpg, ")


def test_folders_of_several_jobs_are_each_read(tmp_path: Path):
    jobs = [write(tmp_path / f"j{n}", photos(tmp_path / f"{n}", f"{n}.jpg")) for n in range(2)]

    assert [(raw.id, raw.image) for raw in read(source(*jobs))] == [
        ("0.jpg", jpeg(0)),
        ("1.jpg", jpeg(0)),
    ]


def test_no_row_leads_out_of_the_folder_that_is_named(tmp_path: Path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(7))
    inside = photos(tmp_path / "photos", "1.jpg")
    stray = replace(inside[0], id="../secret.jpg", source=f"{tmp_path}/photos/../secret.jpg")
    job = write(tmp_path / "first", [*inside, stray])

    found = {raw.id: raw for raw in read(source(job, image_root=str(tmp_path / "photos")))}

    assert (found["1.jpg"].error, found["../secret.jpg"].image) == ("", b"")
    assert found["../secret.jpg"].error


def tar(path: Path, size: int = 1000) -> list[Sample]:
    tars.write(path, tars.pictures(3, size, txt="old"))
    return of(tars.read(path), "")


def told(path: Path) -> dict[str, Any]:
    return {"type": "webdataset", "dataset_path": str(path)}


def test_images_in_tars_are_read_by_the_source_that_is_named(tmp_path: Path):
    job = write(tmp_path / "first", tar(tmp_path / "0.tar"))
    cache = str(tmp_path / "cache")

    made = source(job, extra={"images": told(tmp_path / "0.tar")}, cache_dir=cache)

    assert [(raw.id, raw.image[:4], raw.columns, raw.error) for raw in read(made)] == [
        (id_, n.to_bytes(4, "big"), {"captions": [f"captions of {id_}"], "txt": "old"}, "")
        for n, id_ in enumerate(f"0.tar/{n:05}" for n in range(3))
    ]
    assert made.size("0.tar", list(made.names("0.tar", None))) == 3000


def test_images_in_tars_elsewhere_travel_by_reference_though_texts_lie_beside_them(tmp_path: Path):
    job = write(tmp_path / "first", tar(tmp_path / "0.tar"))
    with NaughtyServer() as web:
        url = web.serve("/0.tar", (tmp_path / "0.tar").read_bytes())
        extra = {"images": {"type": "webdataset", "dataset_path": url}}

        made = source(
            job, extra=extra, cache_dir=str(tmp_path / "cache"), allow_networks=("127.0.0.1",)
        )
        found = list(read(made))

    assert [raw.reference and (raw.reference.url, raw.reference.length) for raw in found] == [
        (url, 1000)
    ] * 3
    assert [raw.columns["txt"] for raw in found] == ["old"] * 3


def test_a_tar_that_has_changed_is_planned_anew(tmp_path: Path):
    job = write(tmp_path / "first", tar(tmp_path / "0.tar"))
    made = source(
        job, extra={"images": told(tmp_path / "0.tar")}, cache_dir=str(tmp_path / "cache")
    )
    planned = made.fingerprint("0.tar")
    tar(tmp_path / "0.tar", 2000)

    with pytest.raises(SourceError, match="has changed since it was planned"):
        list(made.samples("0.tar", list(made.names("0.tar", None)), planned))


def test_images_in_tars_need_the_data_set_to_be_named(tmp_path: Path):
    job = write(tmp_path / "first", tar(tmp_path / "0.tar"))

    with pytest.raises(ConfigError, match=r"lies within .*0\.tar#0.*dataset\.options\.images"):
        source(job)


@pytest.mark.parametrize(
    ("shard", "name", "url"),
    [
        ("0.tar", "1", "https://example.com/0.tar#1.jpg"),
        ("0.tar", "a/1", "https://example.com/?f=0.tar#a/1.seg.jpg"),
        ("data/x.parquet", "12", "https://example.com/r/data/x.parquet#12"),
    ],
)
def test_a_url_of_a_file_that_holds_an_image_is_not_taken_for_the_image(
    tmp_path: Path, shard: str, name: str, url: str
):
    job = write(tmp_path / "first", [replace(sample("", shard, name), source=url)])

    with pytest.raises(ConfigError, match="lies within https"):
        source(job)


def test_each_folder_of_captions_may_have_a_data_set_of_its_own(tmp_path: Path):
    jobs = [write(tmp_path / f"job{n}", tar(tmp_path / f"{n}.tar")) for n in range(2)]
    images = [told(tmp_path / f"{n}.tar") for n in range(2)]

    made = source(*jobs, extra={"images": images}, cache_dir=str(tmp_path / "cache"))

    assert [raw.error for raw in read(made)] == [""] * 6


@pytest.mark.parametrize(
    "extra",
    [
        {"images": "photos"},
        {"images": {"type": "folder"}},
        {"images": {"type": "folder", "dataset_path": "x", "split": "y"}},
        {"images": [{"type": "folder", "dataset_path": "x"}] * 3},
        {"image": {}},
    ],
)
def test_options_of_another_shape_are_told(tmp_path: Path, extra: dict[str, Any]):
    job = write(tmp_path / "first", photos(tmp_path / "photos", "1.jpg"))

    with pytest.raises(ConfigError, match="images"):
        source(job, extra=extra)
