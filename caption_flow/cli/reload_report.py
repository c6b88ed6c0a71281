"""Command line: how `reload_config` shows what changes, and who takes it when."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import Change, Needs

MOST_SHOWN = 60  # characters of a value
_HEADS: Mapping[Needs, str] = {
    "nothing": "Workers take for their next sample:",
    "engine": "Workers finish what is in their engine, and load it again, for:",
    "worker": "Workers finish what they have begun, and go on with the engine they have, for:",
}
_ELSEWHERE = frozenset({"job", "redis", "lanes", "dataset", "vllm"})  # which job; told in parts
_HIDDEN = "…(hidden)"
_SECRET = re.compile(
    r"(?i)(^|[^a-z])(headers|extra_body|authorization|key|token|secret|password)([^a-z]|$)"
)
_NO_SECRET = re.compile(r"(?i)_(env|id|ids)$")  # the name of a variable, a number of the tokenizer
_BRACKETS = re.compile(r"\[[^]]*\]")
_USER = re.compile(r"(\w://)[^\s/@]*@")
_QUERY = re.compile(r"^(\w+://[^\s?]*\?)\S*$")


def listed(found: Sequence[Change]) -> Iterator[str]:
    """Write the changes, one a line, below what workers do for them."""
    for needs, head in _HEADS.items():
        lines = [line(change) for change in found if change.needs == needs]
        if lines:
            yield head
            yield from lines


def unpublished(config: JobConfig) -> str:
    """Name what the document sets beside what is published; empty where it sets no such thing."""
    published = {*Broadcast.__struct_fields__, *_ELSEWHERE}
    default = JobConfig()
    names = [
        name
        for name in config.__struct_fields__
        if name not in published and getattr(config, name) != getattr(default, name)
    ]
    if not names:
        return ""
    return (
        f"Not for workers: {', '.join(names)}. Feeders and sinks read their own documents, once, "
        "when they start."
    )


def line(change: Change) -> str:
    """Write one change."""
    path = change.path
    return f"  {path}: {_shown(path, change.before)} → {_shown(path, change.after)}"


def _shown(path: str, value: Any) -> str:
    if value is UNSET:
        return "none"
    if any(map(_is_secret, _BRACKETS.sub("", path).split("."))):
        return _HIDDEN
    text = msgspec.json.encode(_veiled(value)).decode()
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _veiled(value: Any) -> Any:
    """Give a value without what may be a secret, however deep."""
    if isinstance(value, Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {k: _HIDDEN if v and _is_secret(k) else _veiled(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_veiled(item) for item in value]
    if isinstance(value, str):
        return _QUERY.sub(r"\1…", _USER.sub(r"\1…@", value))
    return value


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)
