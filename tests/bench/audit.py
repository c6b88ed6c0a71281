"""Bench: `caption-flow scan_chunks` on a large data set, its seconds and its peak memory.

    python -m tests.bench.audit [--parts 1000] [--rows 10000] [--cache FOLDER]

The parts are made once and kept. Scanned from the parts alone, as when Redis is gone, and in a
process of its own; then once more with a part that stands there twice.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rows import arrow_schema, table
from tests.made import caption

JOB = "bench"
CHUNK = 1000  # samples
PARTS_PER_SHARD = 10
AGREED = ColumnSchema(("captions",))
TEXT = "a small red circle on a blue background, with a grey square behind it, "


def made(folder: PartFolder, parts: int, rows: int) -> None:
    """Make the parts that are not there yet: rows as sinks write them, under ids of their own."""
    schema = arrow_schema(AGREED)
    captions = [caption(n, texts={"captions": [f"{TEXT}{n}"]}) for n in range(rows)]
    pattern = table(captions, AGREED, schema)
    for number in range(len(folder.published()), parts):
        part = folder.open(AGREED)
        part._writer.write_table(renamed(pattern, number, rows))
        part.prepare()
        part.publish()


def renamed(pattern: pa.Table, number: int, rows: int) -> pa.Table:
    """The same rows of other samples."""
    shard = f"folder-{number // PARTS_PER_SHARD:05}"
    places = range(number % PARTS_PER_SHARD * rows, (number % PARTS_PER_SHARD + 1) * rows)
    columns = {
        "id": [f"{shard}/image-{place:09}.jpg" for place in places],
        "shard": [shard] * rows,
        "chunk": [f"{shard}:{place - place % CHUNK}" for place in places],
    }
    for name, values in columns.items():
        pattern = pattern.set_column(pattern.schema.get_field_index(name), name, pa.array(values))
    return pattern


def scan(data_dir: Path) -> dict[str, Any]:
    """Run the command once; what it printed is read back."""
    command = ("-m", "caption_flow", "scan_chunks", "--json", "--job", JOB, "--data-dir", data_dir)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryDirectory() as elsewhere:
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=out,
            cwd=elsewhere,  # where no document lies that would be read
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        out.seek(0)
        told = json.load(out)
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "exit": process.returncode,
        "chunks": len(told["chunks"]),
        "captioned": told["totals"]["captioned"],
        "doubled": told["totals"]["doubled"],
    }


def main() -> None:
    """Print both scans as JSON and as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    data_dir = given.cache / f"parts-{given.parts}x{given.rows}"
    folder = PartFolder(data_dir, JOB)
    made(folder, given.parts, given.rows)
    sound = scan(data_dir)
    [first, *_] = folder.published()
    copy = folder.file(f"{first}-copy")
    shutil.copyfile(folder.file(first), copy)
    try:
        doubled = scan(data_dir)
    finally:
        copy.unlink()
    print(json.dumps({"bench": "audit", "sound": sound, "doubled": doubled}))
    for name, found in (("sound", sound), ("with a part twice", doubled)):
        print(
            f"audit, {given.parts * given.rows:,} rows, {name}: {found['seconds']:.1f} s, "
            f"{found['peak_mib']:,} MiB, {found['doubled']:,} doubled"
        )


if __name__ == "__main__":
    main()
