"""Bench: `caption-flow export` against the plain loop over the same rows, format by format.

    python -m tests.bench.export [--rows 200000] [--files 20000] [--runs 3]
    python -m tests.bench.export --memory 100000 5000000

The plain loop reads the parts batch by batch with pyarrow and writes rows with orjson, csv or
pyarrow, once and with nothing around it: no row is looked for twice, no file has a name of its own
only when it is whole, nothing can be gone on with. Both by turns in one process, medians of all
runs. For formats of a file for each sample the plain loop writes the same bytes under the same
names. `--memory` tells the peak of the command itself for each number of rows.
"""

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import snapshot
from caption_flow.export.export import Exporter
from caption_flow.export.formats.kinds import FileFormat, ParquetFormat, SampleFormat
from caption_flow.export.ports import Format
from caption_flow.export.wish import Wish
from tests.view.parts import numbered, part_name, write_part

PER_PART = 20_000
BATCH = 5000
PER_FILE = 100_000
WRITE = {
    "jsonl": lambda path: FileFormat(path, overwrite=True),
    "csv": lambda path: FileFormat(path, overwrite=True, csv=True),
    "parquet": lambda path: ParquetFormat(path, overwrite=True, rows_per_file=PER_FILE),
    "json": lambda path: SampleFormat(path, overwrite=True, text=False),
    "txt": lambda path: SampleFormat(path, overwrite=True, text=True),
}
FILES = ("json", "txt")


def make(folder: Path, rows: int) -> None:
    """Write parts of so many samples, no two with the same id."""
    pattern = write_part(folder, part_name(0), numbered(0, PER_PART))
    table = pq.read_table(pattern, partitioning=None)
    pattern.unlink()
    for number, start in enumerate(range(0, rows, PER_PART)):
        some = table.slice(0, min(PER_PART, rows - start))
        # The last digits stay; the rest tells the parts apart.
        ids = pc.binary_join_element_wise(f"{number:05}", some.column("id"), "/")
        some = some.set_column(0, some.schema.field(0), ids)
        path = folder / f"{part_name(number)}.parquet"
        with pq.ParquetWriter(path, some.schema, compression="zstd") as writer:
            writer.write_table(some, row_group_size=BATCH)


def batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH)


def plain_jsonl(folder: Path, output: Path) -> None:
    with output.open("wb") as file:
        for batch in batches(folder):
            for row in batch.to_pylist():
                file.write(orjson.dumps(row) + b"\n")


def plain_csv(folder: Path, output: Path) -> None:
    with output.open("w", newline="") as file:
        writer = csv.writer(file)
        for number, batch in enumerate(batches(folder)):
            if not number:
                writer.writerow(batch.schema.names)
            for row in batch.to_pylist():
                writer.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value


def plain_parquet(folder: Path, output: Path) -> None:
    output.mkdir()
    writer = None
    for batch in batches(folder):
        writer = writer or pq.ParquetWriter(output / "0.parquet", batch.schema, compression="zstd")
        writer.write_batch(batch)
    if writer is not None:
        writer.close()


def plain_files(made: Path, output: Path) -> None:
    """Write what an export made once more: the same bytes under the same names."""
    for path, data in _FILES[made]:
        target = f"{output}/{path}"
        try:
            file = open(target, "wb")  # noqa: SIM115, PTH123 - as plain as can be
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            file = open(target, "wb")  # noqa: SIM115, PTH123
        with file:
            file.write(data)


_FILES: dict[Path, list[tuple[str, bytes]]] = {}
PLAIN: dict[str, Callable[[Path, Path], None]] = {
    "jsonl": plain_jsonl,
    "csv": plain_csv,
    "parquet": plain_parquet,
}


def ours(folder: Path, format_: Format) -> None:
    with snapshot(PartFolder(folder.parent, folder.name)) as parts:
        Exporter(parts, Wish(), lambda *_: None).export(format_)


def timed(act: Callable[[], None]) -> float:
    # What the runs before have left to be written would be written on this one's time.
    os.sync()
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def compare(folder: Path, name: str, rows: int, runs: int, work: Path) -> dict[str, Any]:
    """Time both, by turns."""
    plain, made, kept = work / "plain", work / "ours", work / "kept"
    if name in FILES:
        ours(folder, WRITE[name](kept))
        _FILES[kept] = [
            (str(one.relative_to(kept)), one.read_bytes())
            for one in sorted(kept.rglob("*"))
            if one.is_file()
        ]
    acts: dict[str, Callable[[], None]] = {
        "plain": lambda: plain_files(kept, plain) if name in FILES else PLAIN[name](folder, plain),
        "ours": lambda: ours(folder, WRITE[name](made)),
    }
    took: dict[str, list[float]] = {who: [] for who in acts}
    for run in range(runs):
        for who in sorted(acts, reverse=bool(run % 2)):
            took[who].append(timed(acts[who]))
            # Nothing is deleted meanwhile: some disks take long to make files after that.
            for one in (plain, made):
                if one.exists():
                    one.rename(work / f"old-{name}-{run}-{who}")
    _FILES.clear()
    rates = {who: rows / statistics.median(times) for who, times in took.items()}
    return {
        "format": name,
        "rows": rows,
        "rows_per_second": round(rates["ours"]),
        "plain_rows_per_second": round(rates["plain"]),
        "ratio": round(rates["ours"] / rates["plain"], 2),
    }


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def peak(folder: Path, name: str, output: Path) -> int:
    """Run the command; answers the most memory that it had, in MiB."""
    command = [sys.executable, "-m", "tests.bench.export", "--peak", str(folder), name, str(output)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _delete(output)
    return round(int(re.findall(r"peak (\d+)", told)[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=20_000, help="samples, a file each")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(WRITE), default=list(WRITE))
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.peak:
        folder, name, output = said.peak
        ours(Path(folder), WRITE[name](Path(output)))
        print("peak", *re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()))
        return
    with tempfile.TemporaryDirectory(prefix="bench-export-") as work:
        if said.memory:
            _memory(Path(work), said.memory, said.only)
        else:
            _speed(Path(work), said)


def _speed(work: Path, said: argparse.Namespace) -> None:
    for name in said.only:
        rows = said.files if name in FILES else said.rows
        folder = work / f"photos-{rows}"
        if not folder.exists():
            make(folder, rows)
        found = compare(folder, name, rows, said.runs, work)
        print(json.dumps(found))
        print(f"{name}: {found['ratio']} of the plain loop", file=sys.stderr)


def _memory(work: Path, numbers: list[int], names: list[str]) -> None:
    for rows in numbers:
        folder = work / f"photos-{rows}"
        make(folder, rows)
        for name in names:
            if name not in FILES:
                told = {"format": name, "rows": rows, "peak_mib": peak(folder, name, work / "out")}
                print(json.dumps(told), flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
