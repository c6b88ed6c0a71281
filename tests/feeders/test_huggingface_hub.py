"""Data sets on the hub: the same samples as on this host, for few bytes, at one commit."""

import io
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.dataset.source import Listed, ShardChanged
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Reference
from feeders.huggingface import HuggingFaceSource
from tests.feeders.hub_server import HubServer, hub_server, use_hub
from tests.feeders.pets import pets, picture_files, png, samples, shown, source, told

GROUP = 20  # rows
IMAGE = 20_000  # bytes


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server() as made:
        use_hub(monkeypatch, made)
        yield made


def hub(path: str = "user/pets", **options: Any) -> HuggingFaceSource:
    return source(path, allow_networks=("127.0.0.1",), **options)


def large(folder: Path) -> Path:
    """A Parquet file of ten row groups, 4 MB in all."""
    data = random.Random(1)
    cells = [{"bytes": data.randbytes(IMAGE), "path": None} for _ in range(10 * GROUP)]
    table = pa.table({"image": cells, "n": list(range(len(cells)))})
    pq.write_table(table, folder / "large.parquet", row_group_size=GROUP)
    return folder


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    """Write a tar."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            tar.addfile(facts, io.BytesIO(data))


def test_parquet_is_read_as_on_this_host(server: HubServer, tmp_path: Path):
    (tmp_path / "data").mkdir()
    pets(70).to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    pets(3).to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    server.add("user/pets").commit(tmp_path)

    assert shown(hub(split="train")) == told(pets(70))
    assert shown(hub()) == shown(source(tmp_path))
    assert hub().dataset == "user/pets"


def test_what_was_saved_to_disk_is_read_from_the_hub(server: HubServer, tmp_path: Path):
    both = datasets.DatasetDict({"train": pets(14), "odd": pets(3, 14)})
    both.save_to_disk(tmp_path, num_shards={"train": 2, "odd": 1})
    server.add("user/pets").commit(tmp_path)

    assert shown(hub(split="train")) == told(both["train"])


def test_listing_costs_the_footer(server: HubServer, tmp_path: Path):
    server.add("user/pets").commit(large(tmp_path))
    made = hub()
    opened = server.sent("large.parquet")
    listed = list(made.names("large.parquet", None))

    assert len(listed) == 10 * GROUP
    assert server.sent("large.parquet") == opened < 100_000
    assert made.size("large.parquet", listed) == pytest.approx(10 * GROUP * IMAGE, rel=0.02)


def test_a_chunk_costs_about_its_row_groups(server: HubServer, tmp_path: Path):
    server.add("user/pets").commit(large(tmp_path))
    made = hub()
    before = server.sent("large.parquet")
    wanted = [Listed(str(n)) for n in range(4 * GROUP, 5 * GROUP)]
    raws = list(made.samples("large.parquet", wanted))

    assert [raw.columns["n"] for raw in raws] == list(range(4 * GROUP, 5 * GROUP))
    assert [len(raw.image) for raw in raws] == [IMAGE] * GROUP
    assert server.sent("large.parquet") - before < 2.5 * GROUP * IMAGE


def test_reading_on_costs_few_requests(server: HubServer, tmp_path: Path):
    server.add("user/pets").commit(large(tmp_path))
    made = hub()
    before = len(server.asked("large.parquet", "cdn"))
    for group in range(10):
        wanted = [Listed(str(n)) for n in range(group * GROUP, (group + 1) * GROUP)]
        assert len(list(made.samples("large.parquet", wanted))) == GROUP

    assert len(server.asked("large.parquet", "cdn")) - before <= 30
    assert server.sent("large.parquet") < 15 * GROUP * IMAGE


def test_a_private_data_set_is_read_with_the_token_and_not_without(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pets(70).to_parquet(tmp_path / "a.parquet")
    server.add("user/pets", token="hf_secret").commit(tmp_path)
    with pytest.raises(SourceError, match="set HF_TOKEN"):
        hub()
    use_hub(monkeypatch, server, "hf_secret")

    assert shown(hub()) == told(pets(70))
    assert {seen.authorization for seen in server.asked(port="cdn")} <= {""}


def test_what_was_planned_at_another_commit_is_planned_anew_if_it_changed(
    server: HubServer, tmp_path: Path
):
    repo = server.add("user/pets")
    pets(5).to_parquet(tmp_path / "a.parquet")
    pets(5).to_parquet(tmp_path / "b.parquet")
    first = repo.commit(tmp_path)
    planned = {shard: hub().fingerprint(shard) for shard in ("a.parquet", "b.parquet")}
    pets(5, 5).to_parquet(tmp_path / "b.parquet")
    repo.commit(tmp_path)
    now, then = hub(), hub(revision=first)

    def first_image(made: HuggingFaceSource, shard: str) -> bytes:
        [raw] = made.samples(shard, [Listed("0")], planned[shard])
        return raw.image

    assert first_image(now, "a.parquet") == png(0)
    with pytest.raises(ShardChanged):
        first_image(now, "b.parquet")
    assert first_image(then, "b.parquet") == png(0)


def test_public_image_files_are_references(server: HubServer, tmp_path: Path):
    sha = server.add("user/pets").commit(picture_files(tmp_path, "cat/1 a.png", "dog/2.png"))
    first, second = samples(hub())

    path = f"datasets/user/pets/resolve/{sha}/cat/1%20a.png"
    assert first.reference == Reference(path, hub=True)
    assert (first.id, first.image, first.columns) == ("cat/1 a.png", b"", {"label": "cat"})
    assert second.source == f"{server.endpoint}/datasets/user/pets/resolve/{sha}/dog/2.png"
    assert not server.asked(".png")


@pytest.mark.parametrize("images", ["auto", "inline"])
def test_private_image_files_are_read_here(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Any
):
    names = [f"cat/{n:02}.png" for n in range(40)]
    server.add("user/pets", token="hf_secret").commit(picture_files(tmp_path, *names))
    use_hub(monkeypatch, server, "hf_secret")

    assert [raw.image for raw in samples(hub(images=images))] == [png(n) for n in range(40)]
    with pytest.raises(ConfigError, match="cannot travel as references"):
        hub(images="reference")


def test_public_image_files_are_read_here_where_that_is_wanted(server: HubServer, tmp_path: Path):
    server.add("user/pets").commit(picture_files(tmp_path, "1.png", "2.png"))
    made = hub(images="inline")

    assert [raw.image for raw in samples(made)] == [png(0), png(1)]
    assert made.size(".", [Listed("1.png")]) == len(png(0))


def test_a_table_tells_of_image_files_on_the_hub(server: HubServer, tmp_path: Path):
    picture_files(tmp_path, "train/a.png", "train/b.png")
    (tmp_path / "train/metadata.csv").write_text("file_name,text\nb.png,second\na.png,first\n")
    sha = server.add("user/pets").commit(tmp_path)

    at = f"datasets/user/pets/resolve/{sha}/train"
    assert [(raw.reference, raw.columns) for raw in samples(hub(images="reference"))] == [
        (Reference(f"{at}/b.png", hub=True), {"text": "second"}),
        (Reference(f"{at}/a.png", hub=True), {"text": "first"}),
    ]
    assert [raw.image for raw in samples(hub(images="inline"))] == [png(1), png(0)]


def test_a_folder_of_a_data_set_may_be_named(server: HubServer, tmp_path: Path):
    picture_files(tmp_path, "cat/1.png", "dog/2.png")
    server.add("user/pets").commit(tmp_path)

    assert [raw.id for raw in samples(hub("hf://datasets/user/pets/dog"))] == ["dog/2.png"]


@pytest.mark.parametrize("shard", ["../a.parquet", "b.parquet", "", "a.parquet/../a.parquet"])
def test_a_shard_that_is_not_listed_is_planned_anew(server: HubServer, tmp_path: Path, shard: str):
    pets(2).to_parquet(tmp_path / "a.parquet")
    server.add("user/pets").commit(tmp_path)

    with pytest.raises(ShardChanged):
        list(hub().samples(shard, [Listed("0")]))


@pytest.mark.parametrize(
    ("name", "column"),
    [("u.csv", "image_url"), ("u.csv", "image"), ("a/u.csv", "URL"), ("a/u.csv", "mine")],
)
def test_tables_of_urls_are_read_as_by_the_urls_source(
    server: HubServer, tmp_path: Path, name: str, column: str
):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"{column},n\nhttp://example.org/1.png,1\n")
    server.add("user/pets").commit(tmp_path)
    given = {"url_column": column} if column == "mine" else {}

    [raw] = samples(hub(**given))
    assert raw.reference == Reference("http://example.org/1.png")
    assert raw.columns == {"n": "1"}


def test_tars_are_read_as_by_the_webdataset_source(server: HubServer, tmp_path: Path):
    for split in ("train", "test"):
        tar_of(tmp_path / f"{split}-0.tar", {"a.png": png(1), "a.txt": b"one", "b.png": png(2)})
    server.add("user/pets").commit(tmp_path)
    made = hub(split="test", images="inline")

    assert list(made.shards()) == ["test-0.tar"]
    assert [(raw.id, raw.image) for raw in samples(made)] == [
        ("test-0.tar/a", png(1)),
        ("test-0.tar/b", png(2)),
    ]


def test_tables_that_stand_beside_tars_of_their_names_tell_what_is_in_them(
    server: HubServer, tmp_path: Path
):
    tar_of(tmp_path / "00000.tar", {"a.png": png(1)})
    pq.write_table(pa.table({"url": ["http://x/1"], "key": ["a"]}), tmp_path / "00000.parquet")
    server.add("user/pets").commit(tmp_path)

    assert [raw.id for raw in samples(hub())] == ["00000.tar/a"]


def test_a_text_without_urls_beside_tars_is_passed_over(server: HubServer, tmp_path: Path):
    tar_of(tmp_path / "00000.tar", {"a.png": png(1)})
    (tmp_path / "metadata.csv").write_text("n,size\n1,2\n")
    server.add("user/pets").commit(tmp_path)

    assert [raw.id for raw in samples(hub())] == ["00000.tar/a"]


def test_a_table_that_is_called_metadata_may_be_all_there_is(server: HubServer, tmp_path: Path):
    pets(2).to_parquet(tmp_path / "metadata.parquet")
    server.add("user/pets").commit(tmp_path)

    assert [raw.image for raw in samples(hub())] == [png(0), png(1)]
