"""JSON schemas that are correct, and that no answer, or only a strange one, can fulfil."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from caption_flow.config.words import near, shown

_PYTHONS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_MOST = 20  # required names that are compared with all properties
_CLOSE = 0.8  # so near to a property, a required name is a slip of the finger
_ALSO = ("patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if")  # may bring properties


def mistakes(place: str, part: Any) -> Iterator[str]:
    """Say what is probably meant otherwise in one schema; each line begins with its place."""
    if isinstance(part, dict):
        yield from _never_there(place, part)
        yield from _of_another_type(place, part)


def _never_there(place: str, part: dict[str, Any]) -> Iterator[str]:
    """Find required names that are no properties: a model is told of properties only."""
    properties = part.get("properties", {})
    closed = part.get("additionalProperties") is False and not any(name in part for name in _ALSO)
    missing = [
        (n, name) for n, name in enumerate(part.get("required", ())) if name not in properties
    ]
    for index, name in missing[:_MOST]:
        meant = near(name, properties, cutoff=_CLOSE)
        if closed or meant:
            hint = f"; did you mean {shown(meant)}?" if meant else ""
            yield f"{place}.required[{index}] is {shown(name)}, which is no property there{hint}"


def _of_another_type(place: str, part: dict[str, Any]) -> Iterator[str]:
    said = part.get("type")
    types = [said] if isinstance(said, str) else said or []
    for index, value in enumerate(part.get("enum", ()) if types else ()):
        # Null among texts is often written where null may stand as well, and harms nobody.
        if value is not None and not any(_is(value, name) for name in types):
            quotes = "; put it in quotes" if "string" in types else ""
            yield f"{place}.enum[{index}] is {shown(value)}, but type is {shown(said)}{quotes}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _PYTHONS[name])
