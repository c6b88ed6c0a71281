"""One YAML document in, plain data out.

The events are looked at before anything is built, since what builds data has no bounds: an
alias may unfold a few lines into gigabytes, and a key given twice silently wins.
"""

import re
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

from caption_flow.config.words import shown
from caption_flow.errors import ConfigError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, the same data
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_Event: TypeAlias = yaml.events.Event

_MOST = 50_000  # values, with aliases unfolded
_DEEPEST = 100
_MERGE = "<<"
# What the reader says of a text that begins as something else: {title} is …, "A" or …, @file
_HALF_TEXT = (
    "did not find expected '-' indicator",
    "did not find expected key",
    "found character that cannot start",
    "mapping values are not allowed",
)
_QUOTES = '; a text that begins with {, [, ", @ or the like, or holds ": ", needs quotes around it'
_STR = "tag:yaml.org,2002:str"


def parse(text: str, label: str) -> Any:
    """Read a document; ConfigError begins with the label and the line."""
    try:
        mistakes = _Survey().run(text)
        if mistakes:
            raise ConfigError("\n".join(f"{label}, {mistake}" for mistake in mistakes))
        return yaml.load(text, _Loader)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{label}{_place(exc)}: not valid YAML: {_reason(exc)}") from exc
    except (ValueError, OverflowError) as exc:
        # PyYAML reads 2024-13-45 as a date and lets datetime's own error through.
        raise ConfigError(
            f"{label}: a number or date in it cannot be read; put it in quotes"
        ) from exc


def scalar(text: str) -> Any:
    """Read the value of a variable or flag; what is no YAML is text."""
    try:
        return parse(text, "")
    except ConfigError:
        return text


class _Open(Struct):
    """A mapping or list whose end has not come yet."""

    anchor: str | None
    mapping: bool
    keys: dict[str, int]  # key -> line
    children: int = 0
    size: int = 1


class _Survey:
    """What a document holds, by its events: one walk, no recursion."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, int] = {}  # anchor -> values below it
        self._documents = 0
        self._mistakes: list[str] = []

    def run(self, text: str) -> list[str]:
        """Return what is wrong, each with its line; it stops where it would be unsafe to go on."""
        for event in yaml.parse(text, _Loader):
            fatal = self._look(event)
            if fatal:
                return [f"line {_line(event)}: {fatal}"]
        return self._mistakes

    def _look(self, event: _Event) -> str:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            return "a second document begins; only one is read" if self._documents > 1 else ""
        if isinstance(event, yaml.NodeEvent):
            return self._node(event)
        return self._close() if isinstance(event, yaml.CollectionEndEvent) else ""

    def _node(self, event: yaml.NodeEvent) -> str:
        if getattr(event, "tag", None) not in {None, _STR}:
            return "tags (words that begin with !) are not read"
        self._key(event)
        if isinstance(event, yaml.CollectionStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            self._open.append(_Open(anchor=event.anchor, mapping=mapping, keys={}))
            return f"nested more than {_DEEPEST} levels deep" if len(self._open) > _DEEPEST else ""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                return "an alias (*) has no anchor (&) before it, or stands inside of it"
            return self._count(self._anchors[event.anchor])
        if event.anchor:
            self._anchors[event.anchor] = 1
        return self._count(1)

    def _key(self, event: yaml.NodeEvent) -> None:
        """Note a key, or that it stands there twice."""
        parent = self._open[-1] if self._open else None
        if parent is None or not parent.mapping:
            return
        parent.children += 1
        if parent.children % 2 == 0 or not isinstance(event, yaml.ScalarEvent):
            return
        key, line = event.value, _line(event)
        if key in parent.keys and key != _MERGE:
            first = parent.keys[key]
            self._mistakes.append(
                f"line {line}: {shown(key)} is given twice, first on line {first}"
            )
        parent.keys.setdefault(key, line)

    def _count(self, values: int) -> str:
        if self._open:
            self._open[-1].size += values
            if self._open[-1].size > _MOST:
                return f"more than {_MOST} values, with its aliases unfolded"
        return ""

    def _close(self) -> str:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = done.size
        return self._count(done.size)


def _line(event: _Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _place(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _reason(exc: yaml.YAMLError) -> str:
    """Keep the structure of what went wrong and drop quoted words: one may be a token."""
    problem = getattr(exc, "problem", None) or "a character that may not stand in it"
    hint = _QUOTES if problem.startswith(_HALF_TEXT) else ""
    return re.sub(r"'[^']*'|\"[^\"]*\"", _without_words, problem) + hint


def _without_words(quoted: re.Match[str]) -> str:
    mark = quoted[0].startswith("'<") or not re.search(r"\w", quoted[0])
    return quoted[0] if mark else "…"
