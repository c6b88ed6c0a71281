"""Bench: the figures of a bench, read from the documents that it has printed.

A document names its `bench`, and a `case` where it has several. What it measured stands in `runs`,
a list with an entry for each; all else that is a number was measured once. Numbers are known by
their way through the document, as in `peers.daft.images_per_s`; a name with `cpu_s` or `peak_mib`
below it is a role or a peer.
"""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

CPU, PEAK = "cpu_s", "peak_mib"
_NAMES = ("case", "kind", "format", "engine", "pane")  # of a case, where they are words
_NUMBERS = ("workers", "latency", "rate", "bytes", "samples", "masters")


class Spread(Struct, frozen=True):
    """What a number was, over all runs."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.least)} to {_short(self.most)})"


class Figures(Struct, frozen=True):
    """What one case of a bench has found."""

    bench: str
    case: str
    values: dict[str, Spread]  # by their way through the document

    @property
    def used(self) -> dict[str, dict[str, Spread]]:
        """CPU seconds and peak MiB of each role and peer that tells them."""
        found: dict[str, dict[str, Spread]] = {}
        for way, spread in self.values.items():
            name, _, last = way.rpartition(".")
            if name and last in (CPU, PEAK):
                found.setdefault(name.removeprefix("used."), {})[last] = spread
        return found

    @property
    def results(self) -> dict[str, Spread]:
        """All else: rates, ceilings, ratios."""
        spent = (CPU, PEAK)
        return {way: s for way, s in self.values.items() if way.rpartition(".")[2] not in spent}


def documents_in(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Find the documents among what a bench has printed."""
    return [json.loads(line) for line in lines if line.startswith("{")]


def figures_of(name: str, documents: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """Read documents; several of one case are several runs of it."""
    cases: dict[str, list[dict[str, float]]] = {}
    for document in documents:
        runs = document.get("runs")
        for run in runs if isinstance(runs, list) else [document if runs is None else runs]:
            flags = [key if on else f"not {key}" for key, on in run.items() if isinstance(on, bool)]
            case = ", ".join([*_said(document), *flags])
            cases.setdefault(case, []).append(dict(_numbers(run)))
    return [Figures(name, case, _spreads(runs)) for case, runs in cases.items()]


def _said(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (value for key in _NAMES if isinstance(value := document.get(key), str))
    yield from (f"{key} {document[key]}" for key in _NUMBERS if key in document)


def _spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    found = {}
    for way in dict.fromkeys(way for run in runs for way in run):
        values = [run[way] for run in runs if way in run]
        found[way] = Spread(statistics.median(values), min(values), max(values))
    return found


def _numbers(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for key, inner in value.items():
        way = f"{above}.{key}" if above else str(key)
        if isinstance(inner, Mapping):
            yield from _numbers(inner, way)
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            yield way, float(inner)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
