"""Bench: a job of which most is captioned, as its sinks left it: tables, parts, what Redis knows.

Its data set are tables of URLs on this machine; its parts are made of one pattern of rows, under
the ids that the samples have.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from msgspec import Struct

from caption_flow.dataset.columns import infer
from caption_flow.dataset.open_part import ROWS_PER_GROUP
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rows import arrow_schema, table
from caption_flow.dataset.source import SourceOptions
from caption_flow.feed.position import Position
from caption_flow.model import Credit, Listed
from caption_flow.queue import keys
from caption_flow.sink.records import record
from feeders.urls.naming import digest
from feeders.urls.source import UrlsSource
from tests.bench.roles import Processes
from tests.made import caption
from tests.redis_server import RedisServer

CHUNK = 1000
PORTS = range(20_000, 30_000)  # which no connection is given by chance, as URLs stay as they are
AGREED = infer(("captions",), [{"text": "a text"}], {})
TEXT = "a small red circle on a blue background, with a grey square behind it, "


class Shape(Struct, frozen=True):
    """How large a job is."""

    done: int  # samples that stand in parts: the first ones
    left: int
    rows_per_table: int
    rows_per_part: int

    @property
    def samples(self) -> int:
        """All of them."""
        return self.done + self.left


class Job(Struct, frozen=True):
    """A job on the disk."""

    name: str
    shape: Shape
    tables: Path
    parts: PartFolder
    port: int  # of the server that all images lie on

    @property
    def data_dir(self) -> Path:
        """The folder that holds the folder of its parts."""
        return self.parts.path.parent


def made(cache: Path, shape: Shape) -> Job:
    """Make a job unless it is there."""
    place = cache / f"resume-{shape.done}-{shape.left}-{shape.rows_per_table}"
    told = place / "made.json"
    if not told.exists():
        port = random.choice(PORTS)
        (place / "tables").mkdir(parents=True, exist_ok=True)
        job = Job("bench", shape, place / "tables", PartFolder(place / "out", "bench"), port)
        _make_tables(job)
        _make_parts(job)
        told.write_text(json.dumps({"port": port}))
    port = json.loads(told.read_text())["port"]
    return Job("bench", shape, place / "tables", PartFolder(place / "out", "bench"), port)


def _runs(count: int, size: int) -> Iterator[range]:
    return (range(first, min(first + size, count)) for first in range(0, count, size))


def shard_of(number: int, shape: Shape) -> str:
    """Name the table of a sample."""
    return f"crawl-{number // shape.rows_per_table:05}.parquet"


def _url(number: int, port: int) -> str:
    return f"http://127.0.0.1:{port}/a/{number:08x}.jpg"


def _make_tables(job: Job) -> None:
    for numbers in _runs(job.shape.samples, job.shape.rows_per_table):
        urls = [_url(number, job.port) for number in numbers]
        texts = [f"what somebody wrote beside the picture no. {number}" for number in numbers]
        rows = pa.table({"url": urls, "text": texts})
        pq.write_table(rows, job.tables / shard_of(numbers[0], job.shape))


def _make_parts(job: Job) -> None:
    schema = arrow_schema(AGREED)
    count = job.shape.rows_per_part
    captions = [
        caption(n, texts={"captions": [f"{TEXT}{n}"]}, columns={"text": f"picture no. {n}"})
        for n in range(count)
    ]
    pattern = table(captions, AGREED, schema)
    for numbers in _runs(job.shape.done, count):
        part = job.parts.open(AGREED)
        part._writer.write_table(
            _renamed(pattern.slice(0, len(numbers)), numbers, job), row_group_size=ROWS_PER_GROUP
        )
        part.prepare()
        part.publish()


def _renamed(pattern: pa.Table, numbers: range, job: Job) -> pa.Table:
    shards = [shard_of(number, job.shape) for number in numbers]
    rows = [number % job.shape.rows_per_table for number in numbers]
    columns: dict[str, Any] = {
        "id": [
            f"{shard}/{row}-{digest(_url(number, job.port))}"
            for shard, row, number in zip(shards, rows, numbers, strict=True)
        ],
        "shard": shards,
        "chunk": [f"{s}:{row - row % CHUNK}" for s, row in zip(shards, rows, strict=True)],
    }
    for name, values in columns.items():
        pattern = pattern.set_column(pattern.schema.get_field_index(name), name, pa.array(values))
    return pattern


def remember(job: Job, server: RedisServer, settings: list[str], place: Path) -> None:
    """Have a Redis know of a job what it knew when the job was stopped."""
    lane = keys.LaneKeys(job.name)
    _introduce(job, server, settings, place)
    with redis.Redis.from_url(server.url) as client:
        counts = dict.fromkeys(("planned", "offered", "captioned"), job.shape.done)
        client.delete(lane.chunks, lane.counts, lane.shards, lane.shard_names, lane.cursors)
        client.hset(lane.counts, mapping=counts)  # type: ignore[arg-type]
        client.hset(lane.cursors, "plan", _position(job).encode())
        parts = job.parts.published()
        for part, shards in zip(parts, _shards_of_parts(job), strict=True):
            rows = sum(shards.values())
            client.hset(lane.parts, part, record(rows, {"": Credit(rows, 5, 7)}, shards))
        for numbers in _runs(job.shape.done, job.shape.rows_per_table):
            shard, rows = shard_of(numbers[0], job.shape), len(numbers)
            told = {f"{shard}:planned": rows, f"{shard}:captioned": rows}
            client.hset(lane.shards, mapping=told)  # type: ignore[arg-type]
            client.zadd(lane.shard_names, {shard: 0})


def _shards_of_parts(job: Job) -> Iterator[dict[str, int]]:
    for numbers in _runs(job.shape.done, job.shape.rows_per_part):
        yield Counter(shard_of(number, job.shape) for number in numbers)


def _introduce(job: Job, server: RedisServer, settings: list[str], place: Path) -> None:
    """Have a feeder publish the settings, and plan a little, which is forgotten after that."""
    roles = Processes(place)
    words = ("--redis", server.url, "--job", job.name, "--data-dir", str(place / "none"))
    roles.start("introducing", "feed", str(job.tables), *words, *settings)
    lane = keys.LaneKeys(job.name)
    with redis.Redis.from_url(server.url) as client:
        roles.wait_until(lambda: bool(client.hget(lane.cursors, "plan")))
        roles.stop()
        client.delete(*client.keys(f"cf:{{{job.name}:0}}:*"))  # type: ignore[arg-type]


def _position(job: Job) -> Position:
    """Say where the plan stood when the first samples were planned."""
    last = job.shape.done - 1
    shard, row = shard_of(last, job.shape), last % job.shape.rows_per_table
    source = UrlsSource(SourceOptions(path=str(job.tables), url_column="url"))
    name = f"{row}-{digest(_url(last, job.port))}"
    start = Position(word=f"{time.time_ns():x}").at(shard, source.fingerprint(shard))
    return start.past(Listed(name), row + 1, job.shape.done)
