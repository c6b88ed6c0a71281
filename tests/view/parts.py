"""Parts as sinks leave them, made quickly and of any size."""

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import LATER, ColumnSchema
from caption_flow.dataset.open_part import AGREED, ROWS_PER_GROUP
from caption_flow.dataset.rows import LOW_CARDINALITY, arrow_schema

AGREEMENT = ColumnSchema(
    ("captions", "tags"), {"licence": "string", "year": "int64"}, {}, tuple(LATER)
)
SCHEMA = arrow_schema(AGREEMENT).with_metadata({AGREED: AGREEMENT.encode()})
SHARD_ROWS = 5000
PEOPLE = (None, "ann", "bob", "cleo")
NEEDLE = "okapi"  # a word that only NEEDLES of all rows have
NEEDLE_EVERY = 10_007  # rows

_THINGS = ("dog", "cat", "horse", "bicycle", "bus", "train", "boat", "kite", "bench", "tree")
_COLOURS = ("red", "blue", "green", "yellow", "brown", "black", "white", "golden", "silver")
_PLACES = ("in a park", "on a street", "near the sea", "in a kitchen", "under a bridge")
_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def caption(number: int, draw: random.Random) -> str:
    """About 200 characters, of which no two rows have the same."""
    pick = draw.choice
    words = " ".join(draw.choices(_WORDS, k=14))
    rare = f" An {NEEDLE} stands beside it." if number % NEEDLE_EVERY == 7 else ""
    return (
        f"A {pick(_COLOURS)} {pick(_THINGS)} and a {pick(_COLOURS)} {pick(_THINGS)} "
        f"{pick(_PLACES)}, photographed in the light of the afternoon; {words}. No. {number}.{rare}"
    )


def row(number: int, draw: random.Random) -> dict[str, Any]:
    """One row of a part."""
    shard = f"{number // SHARD_ROWS:05}"
    id_ = f"{shard}/img-{number:08}.jpg"
    person = draw.choice(PEOPLE)
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number / 50)
    cut = number % 50 == 3
    return {
        "id": id_,
        "dataset": "photos",
        "shard": shard,
        "chunk": f"{shard}:{number % SHARD_ROWS // 1000 * 1000}",
        "source": f"/data/photos/{id_}",
        "width": 640,
        "height": 480,
        "format": "jpeg",
        "bytes": 90_000 + number % 1000,
        "sha256": hashlib.sha256(id_.encode()).hexdigest(),
        "captions": [caption(number, draw)],
        "tags": [f"{draw.choice(_THINGS)}, {draw.choice(_COLOURS)}"],
        "prompts": "3f2a9c1d",
        "model": "Qwen/Qwen2.5-VL-7B-Instruct",
        "engine": "vllm",
        "settings_version": 1,
        "prompt_tokens": 700,
        "output_tokens": 60,
        "finish_reasons": ["length" if cut else "stop", "stop"],
        "attempt": 1,
        "worker": f"worker-{number % 16}",
        "contributor": person,
        "captioned_at": at,
        "quality_flags": ["caption:too_short"] if number % 100 == 9 else [],
        "attempts": 2 if number % 100 == 9 else 1,
        "stages": [
            {
                "stage": stage,
                "contributor": by,
                "prompt_tokens": 350,
                "output_tokens": 30,
                "captioned_at": at,
            }
            for stage, by in (("caption", None), ("tag", person))
        ],
        "licence": draw.choice(("CC-BY", "CC0")),
        "year": 1990 + number % 30,
        "extra": None,
    }


def part_name(number: int) -> str:
    """Names in the order of their numbers, as sinks give them."""
    return f"part-20260101T{number:06}-{number:08x}"


def write_part(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write a part as a sink does: in row groups, and whole before it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{name}.tmp"
    with pq.ParquetWriter(
        hidden, SCHEMA, compression="zstd", use_dictionary=list(LOW_CARDINALITY)
    ) as writer:
        for start in range(0, len(rows), ROWS_PER_GROUP):
            block = rows[start : start + ROWS_PER_GROUP]
            writer.write_table(pa.Table.from_pylist(block, schema=SCHEMA))
    return hidden.rename(folder / f"{name}.parquet")


def numbered(start: int, count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Make rows with these numbers, the same each time."""
    draw = random.Random(seed + start)
    return [row(number, draw) for number in range(start, start + count)]


def write_parts(folder: Path, rows: int, per_part: int) -> Iterator[Path]:
    """Write so many rows in parts; yields each as it has its name."""
    for number, start in enumerate(range(0, rows, per_part)):
        count = min(per_part, rows - start)
        yield write_part(folder, part_name(number), numbered(start, count))
