"""The same pictures as a data set of each kind, made by the field's own writers."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from msgspec import Struct, field

from caption_flow.model import Sample
from tests.e2e.desk import settings
from tests.feeders import captioned
from tests.feeders.hub_server import HubServer
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg

COUNT = 30  # samples
PER_SHARD = 15
LOCAL = settings(dataset__allow_networks='["127.0.0.1"]')


class Servers(Struct, frozen=True):
    """Where remote data sets are served from."""

    web: NaughtyServer
    hub: HubServer


class Made(Struct, frozen=True):
    """A data set, and how it is fed."""

    type: str
    path: str
    images: dict[str, bytes]  # by the samples' ids
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def title(number: int) -> str:
    return f"no. {number}"


def shard_of(number: int) -> int:
    return number // PER_SHARD


def numbered(spell: Callable[[int], str], column: str = "title") -> dict[str, Any]:
    """Images and columns of all samples, by ids that are spelt so."""
    return {
        "images": {spell(n): jpeg(n) for n in range(COUNT)},
        "columns": {spell(n): {column: title(n)} for n in range(COUNT)},
    }


def folder(root: Path, _: Servers) -> Made:
    for number in range(COUNT):
        file = root / f"{shard_of(number)}" / f"{number:03}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
        file.with_suffix(".json").write_text(json.dumps({"title": title(number)}))
    expected = numbered(lambda n: f"{shard_of(n)}/{n:03}.jpg")
    return Made("folder", str(root), **expected, flags=settings(dataset__sidecars='["json"]'))


def webdataset_tars(root: Path, _: Servers) -> Made:
    root.mkdir()
    with webdataset.ShardWriter(f"{root}/%03d.tar", maxcount=PER_SHARD, verbose=0) as writer:
        for n in range(COUNT):
            columns = {"title": title(n)}
            writer.write({"__key__": f"{n:05}", "jpg": jpeg(n), "json": columns, "cls": n})
    expected = numbered(lambda n: f"{shard_of(n):03}.tar/{n:05}")
    return Made("webdataset", str(root), **expected)


def img2dataset_over_http(_: Path, servers: Servers) -> Made:
    for shard in range(COUNT // PER_SHARD):
        numbers = range(shard * PER_SHARD, (shard + 1) * PER_SHARD)
        servers.web.serve(f"/laion/{shard:05}.tar", _img2dataset_tar(numbers))
    expected = numbered(lambda n: f"{shard_of(n):05}.tar/{n:09}", "caption")
    path = servers.web.url("/laion/{00000..00001}.tar")
    return Made("webdataset", path, **expected, flags=LOCAL)


def _img2dataset_tar(numbers: Iterable[int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for n in numbers:
            columns = {"caption": title(n), "url": f"https://example.org/{n}", "status": "success"}
            for suffix, content in (
                ("jpg", jpeg(n)),
                ("json", json.dumps(columns).encode()),
                ("txt", title(n).encode()),
            ):
                info = tarfile.TarInfo(f"{n:09}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def bare_tars_over_http(root: Path, servers: Servers) -> Made:
    """Without texts there is nothing for the feeder to read: the workers do."""
    root.mkdir()
    with webdataset.ShardWriter(f"{root}/%03d.tar", maxcount=PER_SHARD, verbose=0) as writer:
        for n in range(COUNT):
            writer.write({"__key__": f"{n:05}", "jpg": jpeg(n)})
    for tar in root.glob("*.tar"):
        servers.web.serve(f"/bare/{tar.name}", tar.read_bytes())
    images = numbered(lambda n: f"{shard_of(n):03}.tar/{n:05}")["images"]
    return Made("webdataset", servers.web.url("/bare/{000..001}.tar"), images, flags=LOCAL)


def csv_of_urls(root: Path, servers: Servers) -> Made:
    root.mkdir()
    urls = _served(servers.web)
    file = root / "list.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["image_url", "title"])
        writer.writerows([url, title(n)] for n, url in enumerate(urls))
    flags = (*LOCAL, *settings(dataset__fetch="feeder"))
    return Made("urls", str(file), **_by_url("list.csv", urls), flags=flags)


def parquet_of_urls(root: Path, servers: Servers) -> Made:
    root.mkdir()
    urls = _served(servers.web)
    table = pa.table({"url": urls, "title": [title(n) for n in range(COUNT)]})
    pq.write_table(table, root / "list.parquet", row_group_size=7)
    flags = (*LOCAL, *settings(dataset__fetch="worker", dataset__dataset_url_column="url"))
    return Made("urls", str(root), **_by_url("list.parquet", urls), flags=flags)


def _served(web: NaughtyServer) -> list[str]:
    return [web.serve(f"/images/{n}.jpg", jpeg(n)) for n in range(COUNT)]


def _by_url(shard: str, urls: list[str]) -> dict[str, Any]:
    digests = [hashlib.blake2b(url.encode()).hexdigest()[:8] for url in urls]
    return numbered(lambda n: f"{shard}/{n}-{digests[n]}")


def parquet_of_images(root: Path, _: Servers) -> Made:
    (root / "data").mkdir(parents=True)
    for shard in range(COUNT // PER_SHARD):
        _rows(shard).to_parquet(root / _file(shard))
    return Made("huggingface", str(root), **_by_row())


def hub_of_images(root: Path, servers: Servers) -> Made:
    parquet_of_images(root, servers)
    servers.hub.add("user/pictures").commit(root)
    environment = {"HF_ENDPOINT": servers.hub.endpoint, "HF_HUB_OFFLINE": "0"}
    expected = _by_row()
    return Made("huggingface", "user/pictures", **expected, flags=LOCAL, environment=environment)


def _rows(shard: int) -> datasets.Dataset:
    numbers = range(shard * PER_SHARD, (shard + 1) * PER_SHARD)
    rows = {
        "image": [{"bytes": jpeg(n), "path": f"{n}.jpg"} for n in numbers],
        "title": [title(n) for n in numbers],
    }
    features = {"image": datasets.Image(), "title": datasets.Value("string")}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def _file(shard: int) -> str:
    return f"data/train-{shard:05}-of-00002.parquet"


def _by_row() -> dict[str, Any]:
    return numbered(lambda n: f"{_file(shard_of(n))}/{n % PER_SHARD}")


def saved_to_disk(root: Path, _: Servers) -> Made:
    shards = [_rows(shard) for shard in range(COUNT // PER_SHARD)]
    whole = datasets.DatasetDict({"train": datasets.concatenate_datasets(shards)})
    whole.save_to_disk(root, num_shards={"train": COUNT // PER_SHARD})
    expected = numbered(
        lambda n: f"train/data-{shard_of(n):05}-of-00002.arrow/{n % PER_SHARD}",
    )
    return Made("huggingface", str(root), **expected)


def imagefolder(root: Path, _: Servers) -> Made:
    (root / "train").mkdir(parents=True)
    with (root / "train" / "metadata.jsonl").open("w") as out:
        for n in range(COUNT):
            (root / "train" / f"{n}.jpg").write_bytes(jpeg(n))
            out.write(json.dumps({"file_name": f"{n}.jpg", "title": title(n)}) + "\n")
    return Made("huggingface", str(root), **numbered(lambda n: f"train/metadata.jsonl/{n}"))


def captions_of_tars(root: Path, servers: Servers) -> Made:
    """What an earlier job said of tars, columns and all."""
    tars = webdataset_tars(root, servers)
    samples = [
        Sample(id_, "pictures", *id_.split("/")[:1], "", f"{root}/{id_}", columns=columns)
        for id_, columns in tars.columns.items()
    ]
    job = captioned.write(root.parent / "earlier", samples, output="earlier", per_part=7)
    columns = {id_: told | {"earlier": [f"earlier of {id_}"]} for id_, told in tars.columns.items()}
    images = json.dumps({"images": {"type": tars.type, "dataset_path": tars.path}})
    return Made("captions", str(job), tars.images, columns, settings(dataset__options=images))


KINDS: tuple[Callable[[Path, Servers], Made], ...] = (
    folder,
    webdataset_tars,
    img2dataset_over_http,
    bare_tars_over_http,
    csv_of_urls,
    parquet_of_urls,
    parquet_of_images,
    hub_of_images,
    saved_to_disk,
    imagefolder,
    captions_of_tars,
)
