"""Bench: the measured part of docs/benchmarks.md, written from what benches have found."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.figures import CPU, PEAK, Figures
from tests.bench.suite import BENCHES, Found

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_ORDER = [bench.name for bench in BENCHES]


def kept(folder: Path) -> list[Found]:
    """What a folder holds of this and of earlier times, in the order of the table."""
    found = [
        msgspec.convert(json.loads(path.read_bytes()), Found) for path in folder.glob("*.json")
    ]
    return sorted((f for f in found if f.name in _ORDER), key=lambda f: _ORDER.index(f.name))


def keep(found: Found, folder: Path) -> None:
    """Put it into the folder, in the place of what the same bench found before."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{found.name}.json").write_bytes(msgspec.json.encode(found) + b"\n")


def said_by(found: Found) -> list[str]:
    """Say what a bench has found, in its own words where it has some."""
    return [
        *(found.lines or map(_named, found.figures)),
        *([f"failed: {found.failure}"] if found.failure else []),
    ]


def section(founds: Sequence[Found]) -> str:
    """Write the tables: what each bench says, all its numbers, what each process took."""
    what = {bench.name: bench.what for bench in BENCHES}
    said = [
        f"| `{f.name}` | {what[f.name]} | {'<br>'.join(_cell(x) for x in said_by(f))} |"
        for f in founds
    ]
    results, used = list[str](), list[str]()
    for figures in (one for found in founds for one in found.figures):
        name = f"`{figures.bench}`" + (f", {_cell(figures.case)}" if figures.case else "")
        results.append(f"| {name} | {_counted(figures)} |")
        used += [
            f"| {name} | {role} | {spent.get(CPU, '')} | {spent.get(PEAK, '')} |"
            for role, spent in figures.used.items()
        ]
    parts = (
        [f"Measured on {_today()} ({_machine()}) by `python -m tests.bench`."],
        ["| bench | what | found |", "|---|---|---|", *said],
        ["Medians, with the least and the most of all runs:"],
        ["| bench | figures |", "|---|---|", *results],
        ["What processes took:"],
        ["| bench | role or peer | CPU s | peak MiB |", "|---|---|---|---|", *used],
    )
    return "\n\n".join("\n".join(part) for part in parts)


def write(path: Path, founds: Sequence[Found]) -> None:
    """Put the tables between the marks of a page, or make a page of them."""
    text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}. Put them where tables belong.")
    path.write_text(f"{head}{BEGIN}\n\n{section(founds)}\n\n{END}{tail}")


def _counted(figures: Figures) -> str:
    return "; ".join(f"{way} {spread}" for way, spread in figures.results.items())


def _named(figures: Figures) -> str:
    return f"{figures.case}: {_counted(figures)}" if figures.case else _counted(figures)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
