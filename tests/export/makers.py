"""Parts with rows that are hard to write in any format, made as sinks make them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.parts import PartFolder
from caption_flow.model import Caption
from tests.made import caption

TEXTS = (
    "plain",
    "two\nlines",
    "Windows\r\nlines\r\n",
    "old Mac\rlines",
    'she said "hi", twice ""',
    '"',
    "a,b;c\td|e",
    "fox 🦊 and 👩‍👩‍👧",
    "שלום \u202eabc\u202c",
    "nul\0inside",
    "\x01\x1b[31mred\x7f",
    "line\u2028paragraph\u2029next\x85vertical\x0bform\x0c",
    "composed é, not e\u0301",
    " spaces around ",
    "\ufeffmarked",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\ttab",
    "\rreturn",
    "'=quoted",
    "''@twice",
    "'plain",
    "\\N",
    "NULL",
    "NaN",
    "true",
    "1.0",
    "2026-01-01",
    '{"a": 1}',
    "long " * 20_000,
)
IDS = (
    "plain.jpg",
    "with spaces/and more.jpg",
    "ünï/コード.png",
    "../../etc/passwd",
    "/etc/shadow",
    "a/../b.jpg",
    "a//b/./c.jpg",
    f"{'long' * 100}.jpg",
    f"{'é' * 300}/{'x' * 300}.jpg",
    "/".join(["deep"] * 40),
    "/".join(["d" * 190] * 25),
    "two.dots.jpeg",
    ".hidden.jpg",
    ".hidden/too.jpg",
    "..",
    ".jpg",
    "cat.jpg",
    "cat.png",
    "cat.webp",
    "cat~2.jpg",
    "nul\0new\nline\\back.jpg",
    "a",
    "a.txt/b",
    "a.json/b",
)
OWN: tuple[dict[str, Any], ...] = (
    {"title": "=1+1", "year": 2**53 + 1, "ok": True, "score": 0.1, "tags": ["a", "b,\n"]},
    {
        "title": "",
        "year": -(2**63),
        "ok": False,
        "score": -1.5,
        "box": [1.5, 2.0],
        "info": {"k": 1},
    },
    {"title": "é", "score": math.nan, "info": {"k": 2}, "id": "theirs", "tags": []},
    {"title": 7, "score": math.inf, "year": "unknown", "stray": {"deep": ["\0", None]}},
    {"score": -math.inf, "flags": [True, False], "sizes": [2**60, -1], "none": None},
)
AGREED = infer(["captions", "tags_made"], OWN[:3] + OWN[4:])
SOME = {
    "several": ["one", "two\nlines", "the longest of them"],
    "empty": [""],
    "partly": ["", "something"],
    "none": [],
}


def made(
    number: int,
    texts: Sequence[str] | Mapping[str, list[str]],
    *,
    id_: str = "",
    own: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    version: int = 1,
    at: float = 1_700_000_000.25,
) -> Caption:
    """A finished sample."""
    outputs = dict(texts) if isinstance(texts, Mapping) else {"captions": list(texts)}
    plain = caption(number, texts=outputs, columns=own)
    [outcome] = plain.outcomes
    outcome = replace(
        outcome,
        outputs=outputs,
        fields=dict(fields or {}),
        settings_version=version,
        captioned_at=at,
    )
    sample = replace(plain.sample, id=id_ or plain.sample.id, shard=f"shard{number % 3}")
    return replace(plain, sample=sample, outcomes=(outcome,))


def awkward() -> list[Caption]:
    """Rows with all that is awkward: in captions, ids and columns."""
    rows: list[Sequence[str] | Mapping[str, list[str]]] = [[text] for text in TEXTS]
    rows += SOME.values()
    rows.append({"captions": ["both"], "tags_made": ["of", "two outputs"]})
    ids = dict(enumerate(IDS))
    return [
        made(n, texts, id_=ids.get(n, ""), own=OWN[n % len(OWN)]) for n, texts in enumerate(rows)
    ]


def sunk(folder: Path, *parts: Sequence[Caption], agreed: ColumnSchema = AGREED) -> Path:
    """Write parts as a sink does; answers their folder."""
    place = PartFolder(folder.parent, folder.name)
    for captions in parts:
        part = place.open(agreed)
        part.append(captions)
        part.prepare()
        part.publish()
    return folder


def plain(folder: Path, number: int, rows: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    """Write a part with a few columns only, which is quick."""
    columns = {"id": pa.string(), "captions": pa.list_(pa.string()), **more}
    schema = pa.schema([(name, columns[name]) for name in columns])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"part-20260101T{number:06}-{number:08x}.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, row_group_size=7)
    return path


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows of some parts, as Arrow reads them."""
    files = sorted(folder.glob("part-*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
