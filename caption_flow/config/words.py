"""How a mistake is worded: a place, what stands there, what was expected.

Nothing secret passes through here: values at secret places are never shown, URLs lose what
stands before the @.
"""

import re
import types
from collections.abc import Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, UnsetType

Steps: TypeAlias = tuple[str | int, ...]  # the way to a value: ("vllm", "stages", 0, "name")

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping",
}
_SECRET = re.compile(
    r"(^|[_-])(token|token_sha256|key|password|secret|redis|server|authorization)$", re.IGNORECASE
)
_LONGEST = 60  # characters of a value worth showing


class Mistake(Struct, frozen=True):
    """One thing wrong in a document: where, and the rest of the sentence."""

    steps: Steps
    sentence: str
    key: str = ""  # the key it is about, where that is no place of its own


def dotted(steps: Steps) -> str:
    """Write a way as people do: vllm.stages[0].name."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).removeprefix(".")


def steps_of(path: str) -> Steps:
    """Read a way that `dotted` wrote."""
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", path)
    return tuple(int(part[1:-1]) if part.startswith("[") else part for part in parts)


def is_secret(steps: Steps) -> bool:
    """Tell whether the value there must not be shown."""
    names = [step for step in steps if isinstance(step, str)]
    return "auth" in names or any(_SECRET.search(name) for name in names)


def wrong(steps: Steps, value: object, expected: str, likely: str | None = None) -> Mistake:
    """Word a value that is not what was expected."""
    found = "is wrong (value not shown)" if is_secret(steps) else f"is {shown(value)}"
    hint = f'; did you mean "{likely}"?' if likely else _hint(value, expected)
    return Mistake(steps, f"{found}; expected {expected}{hint}")


def in_section(cls: Any, raw: object) -> str:
    """Write a text as the one key that a section needs, where it has one; else nothing."""
    needed = [info for info in msgspec.structs.fields(cls) if info.required]
    if not isinstance(raw, str) or len(needed) != 1:
        return ""
    try:
        msgspec.convert(raw, needed[0].type)
    except msgspec.ValidationError:
        return ""
    return f"; write {{{needed[0].name}: {shown(raw)}}}"


def meant(hint: Any, value: object) -> str | None:
    """Return the one of a field's few texts that was probably meant."""
    few = [text for option in options(hint) for text in _texts(option)]
    return near(value.lower(), few) if isinstance(value, str) else None


def _texts(option: Any) -> tuple[Any, ...]:
    base, _ = plain_type(option)
    return get_args(base) if get_origin(base) is Literal else ()


def _hint(value: object, expected: str) -> str:
    if expected.startswith("text") and isinstance(value, int | float | date):
        return "; put it in quotes"
    if expected.startswith("text") and isinstance(value, dict):
        return "; a colon or a brace makes it one: put the text in quotes"
    if expected.startswith("a list") and isinstance(value, dict):
        return '; begin each item with "- "'
    numeric = isinstance(value, str) and re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", value, re.IGNORECASE)
    if numeric and expected.startswith(("a number", "a whole number")):
        return "; to YAML it is text: leave out quotes, and write 0.001 for 1e-3"
    return ""


def shown(value: object) -> str:
    """Show a value in few words."""
    if value in (None, ""):
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        numbers = bool(value) and all(type(item) in {int, float} for item in value)
        return _cut(str(list(value))) if numbers else "a list" if value else "an empty list"
    return _cut(str(value)) if isinstance(value, int | float) else _kind(value)


def near(name: str, names: Any, *, cutoff: float = 0.6) -> str | None:
    """Return the name that was probably meant."""
    known = list(names)
    alike = [one for one in known if one.casefold() == name.casefold()]
    found = alike or get_close_matches(name, known, n=1, cutoff=cutoff)
    return found[0] if found else None


def repeated(values: Sequence[str], place: str) -> Iterator[str]:
    """Say what stands in a list twice; `place` is that of one, with {} for its number."""
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if (before := first.setdefault(value, index)) != index:
            yield f"{place.format(index)} is {shown(value)}, like {place.format(before)}"


def described(hint: Any) -> str:
    """Say what a field of this type takes."""
    base, meta = plain_type(hint)
    if meta and meta.extra and "expected" in meta.extra:
        return str(meta.extra["expected"])
    origin = get_origin(base)
    if origin is Literal:
        return _choice([f'"{value}"' for value in get_args(base)])
    if origin is tuple:
        return "a list that is not empty" if meta and meta.min_length else "a list"
    if origin in {Union, types.UnionType}:
        return _choice([described(option) for option in options(base)])
    kind = _KINDS.get(origin or base) or _section(base)
    return f"{kind}{_bounds(meta)}" if meta else kind


def plain_type(hint: Any) -> tuple[Any, Meta | None]:
    """Split a field's type into what it is and what it is bound by."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, meta = get_args(hint)[:2]
    return base, meta


def options(hint: Any) -> list[Any]:
    """Return the types that a value may have, leaving out null and "not said"."""
    if get_origin(hint) not in {Union, types.UnionType}:
        return [hint]
    return [option for option in get_args(hint) if option not in {types.NoneType, UnsetType}]


def takes_null(hint: Any) -> bool:
    """Tell whether a field may be null."""
    return types.NoneType in get_args(hint)


def _section(cls: Any) -> str:
    needed = [f'"{info.name}"' for info in msgspec.structs.fields(cls) if info.required]
    return f"a section with {' and '.join(needed) or 'keys of its own'}"


def _bounds(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.gt is not None:
        return f" above {meta.gt}" + ("" if meta.le is None else f", at most {meta.le}")
    return "" if meta.ge is None else f", {meta.ge} or more"


def _choice(words: list[str]) -> str:
    return words[-1] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _kind(value: object) -> str:
    if isinstance(value, date):
        return f"the date {value}"
    return "a mapping" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def _quoted(text: str) -> str:
    bare = re.sub(r"://.*@", "://…@", text, flags=re.DOTALL)
    safe = bare.encode("utf-8", "replace").decode()
    return msgspec.json.encode(_cut(safe)).decode()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
