"""Document, variables and flags, laid over each other; each value knows where it came from.

A later layer wins, key by key. A mistake is told in the words of the layer it came with, and
at the place where it was written there.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from caption_flow.config.check import decode, fields
from caption_flow.config.legacy import modernise, spellings
from caption_flow.config.modern import Modern, Tree
from caption_flow.config.prompt_files import unfold
from caption_flow.config.schema import JobConfig, Kind, MonitorConfig, WorkerConfig
from caption_flow.config.values import Settings
from caption_flow.config.words import Mistake, Steps, dotted, shown
from caption_flow.errors import ConfigError

S = TypeVar("S", bound=Settings)

SCHEMAS: dict[Kind, type[Settings]] = {
    "job": JobConfig,
    "worker": WorkerConfig,
    "monitor": MonitorConfig,
}
SECTIONS: dict[Kind, str] = {"job": "orchestrator", "worker": "worker", "monitor": "monitor"}
_OWNERS: dict[Kind, str] = {"job": "the job's", "worker": "a worker's", "monitor": "the monitor's"}
_SHARED = ("redis", "job")  # beside the sections of a document, these are for all of them


class Layer(Struct, frozen=True):
    """One source of values."""

    label: str  # "pipeline.yaml", "command line" or the name of a variable
    tree: Tree
    outer: str = ""  # the section around some of the keys
    inside: frozenset[str] = frozenset()  # the first-level keys that stand in it
    folder: Path = Path()  # to which its names of prompt files are relative

    def where(self, steps: Steps, key: str = "") -> str:
        """Name a place as the user wrote it; `key` is what stands there, at the top."""
        first = steps[0] if steps else key
        nested = self.outer and (not first or first in self.inside)
        path = dotted((self.outer, *steps) if nested else steps)
        return f"{self.label}: {path}" if path else self.label


class Stack:
    """Layers laid over each other so far."""

    def __init__(self, kind: Kind, base: Layer) -> None:
        self.warnings: list[str] = []
        self.mistakes: list[str] = []
        self._kind = kind
        self._base = base
        self._tree: Tree = {}
        self._files: dict[Steps, Path] = {}  # that prompts came from, by their places
        self._origins: dict[Steps, tuple[Layer, Steps]] = {}
        self.add(base)

    def add(self, layer: Layer) -> None:
        """Lay one over what is there."""
        modern = modernise(self._kind, layer.tree)
        self.warnings += [f"{layer.where(steps)} {say}" for steps, say in modern.warnings]
        self.mistakes += [f"{layer.where(m.steps)} {m.sentence}" for m in modern.mistakes]
        unfolded = unfold(modern.tree, layer.folder)
        self.mistakes += [f"{layer.where(m.steps)} {m.sentence}" for m in unfolded.mistakes]
        leaves = set(_leaves(modern.tree))
        self._files = {s: file for s, file in self._files.items() if not _is_in(s, leaves)}
        self._files |= unfolded.files
        self._origins |= {steps: (layer, _as_written(steps, modern)) for steps in leaves}
        self._origins |= {new: (layer, old) for new, old in modern.written.items()}
        _merge(self._tree, modern.tree)

    def decode(self, cls: type[S]) -> S:
        """Return the struct, or raise with all mistakes of all layers."""
        made, mistakes = decode(cls, self._tree, self._spellings, self._elsewhere)
        lines = [*self.mistakes, *map(self._line, mistakes)]
        if made is None or lines:
            raise ConfigError("\n".join(lines))
        return made

    def _line(self, mistake: Mistake) -> str:
        layer, steps = self._origin(mistake)
        file = self._file(mistake.steps)
        told = f" ({file})" if file else ""
        return f"{layer.where(steps, mistake.key)}{told} {mistake.sentence}"

    def _file(self, steps: Steps) -> Path | None:
        """Find the file of a prompt; one text stands for a list of one."""
        return self._files.get(steps) or self._files.get(steps[:-1])

    def _origin(self, mistake: Mistake) -> tuple[Layer, Steps]:
        """Find the layer that a mistake came with, and its place there."""
        steps = mistake.steps
        about = (*steps, mistake.key) if mistake.key else steps
        for length in range(len(about), 0, -1):
            if origin := self._origins.get(about[:length]):
                layer, written = origin
                return layer, steps if length > len(steps) else (*written, *steps[length:])
        return self._base, steps

    def _spellings(self, steps: Steps) -> list[str]:
        section = re.sub(r"\[\d+\]", "[]", dotted(steps))
        olds = (old.rpartition(".") for old in spellings(self._kind))
        return [name for above, _, name in olds if above == section]

    def _elsewhere(self, name: str) -> str:
        kinds = [kind for kind, cls in SCHEMAS.items() if name in fields(cls)]
        return f"in {' or '.join(_OWNERS[kind] for kind in kinds)} document" if kinds else ""


def unwrap(kind: Kind, document: Any, label: str) -> Layer:
    """Take the part of a document that one kind of command reads."""
    if not isinstance(document, dict | None):
        raise ConfigError(f"{label} is {shown(document)}; expected keys with values")
    own = SECTIONS[kind]
    beside = {k: v for k, v in (document or {}).items() if k not in SECTIONS.values()}
    sectioned = len(beside) < len(document or {})
    inner = (document or {}).get(own) or {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{label}: {own} is {shown(inner)}; expected keys with values")
    if kind == "job":
        _no_doubles(inner, beside, label)
    elif sectioned:
        beside = {k: v for k, v in beside.items() if k in _SHARED or not _is_jobs(k)}
    outer = own if own in (document or {}) else ""
    return Layer(label=label, tree=beside | inner, outer=outer, inside=frozenset(inner))


def _no_doubles(inner: Tree, beside: Tree, label: str) -> None:
    twice = [name for name in inner if name in beside]
    if twice:
        lines = (f"{label}: {name} stands inside of orchestrator and beside it" for name in twice)
        raise ConfigError("\n".join(f"{line}; keep one of them" for line in lines))


def _is_jobs(name: object) -> bool:
    return name in fields(JobConfig) or name in spellings("job")


def _as_written(steps: Steps, modern: Modern) -> Steps:
    """Find a place as it is in the document, also below one that was moved."""
    for length in range(len(steps), 0, -1):
        if old := modern.written.get(steps[:length]):
            return (*old, *steps[length:])
    return steps


def _merge(below: Tree, above: Tree) -> None:
    for name, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _merge(below[name], value)
        else:
            below[name] = value


def _is_in(steps: Steps, leaves: set[Steps]) -> bool:
    return any(steps[:length] in leaves for length in range(1, len(steps) + 1))


def _leaves(tree: Tree, steps: Steps = ()) -> Iterator[Steps]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*steps, name))
        else:
            yield (*steps, name)
