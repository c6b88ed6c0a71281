"""Engine without a model: answers of the form that a stage asks for, so that it can be rehearsed.

What is chosen comes from the digest of what was shown, as the simulated captions do.
"""

import math
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import msgspec

from caption_flow.config.json_schema import Schema, follow
from caption_flow.config.structured import StructuredOutputs

_WORDS = ("quiet", "bright", "narrow", "old", "green", "round", "distant", "plain", "soft", "tall")
_SPREAD = 9  # of numbers that have one bound
_BYTE = 256
_ENOUGH = 4  # levels below which only what must be there is made
_DEEPEST = 32


def formed(form: StructuredOutputs, digest: bytes) -> str | None:
    """Make an answer of a form; None for a pattern or a grammar: those only a model keeps to.

    A schema may ask for what is not made here, as by `pattern` or `not`: the answer is then
    judged as any other is.
    """
    drawn = cycle(digest)
    if form.choice is not None:
        return form.choice[next(drawn) % len(form.choice)]
    if form.json is None:
        return None
    return msgspec.json.encode(_Maker(form.json, drawn).make(form.json)).decode()


class _Maker:
    """Makes values that a schema asks for."""

    def __init__(self, root: Schema, drawn: Iterator[int]) -> None:
        self._root = root
        self._drawn = drawn
        self._makers: dict[str, Callable[[Schema, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": self._boolean,
        }

    def make(self, schema: Any, level: int = 0) -> Any:
        """Make a value for a schema, or for a part of it."""
        schema = self._settled(schema)
        if schema is False or level > _DEEPEST:
            return None
        if choices := [schema["const"]] if "const" in schema else schema.get("enum"):
            return choices[next(self._drawn) % len(choices)]
        maker = self._makers.get(_type(schema))
        return maker and maker(schema, level + 1)

    def _settled(self, schema: Any) -> Any:
        """Follow references, and choose the first of several that is not null."""
        while isinstance(schema, dict):
            several = next((schema[k] for k in ("anyOf", "oneOf", "allOf") if k in schema), ())
            if "$ref" in schema:
                schema = follow(self._root, schema["$ref"])
            elif several and "type" not in schema:
                schema = next((one for one in several if one != {"type": "null"}), several[0])
            else:
                return schema
        return {} if schema is True else schema

    def _object(self, schema: Schema, level: int) -> dict[str, Any]:
        known, required = schema.get("properties", {}), schema.get("required", ())
        wanted = [*known, *(name for name in required if name not in known)]
        if level > _ENOUGH:
            wanted = [name for name in wanted if name in required]
        return {name: self.make(known.get(name, {}), level) for name in wanted}

    def _array(self, schema: Schema, level: int) -> list[Any]:
        first = [self.make(each, level) for each in schema.get("prefixItems", ())]
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        usual = 1 if schema.get("uniqueItems") or level > _ENOUGH else 2
        count = max(least, min(usual, most)) - len(first)
        return first + [self.make(schema.get("items", {}), level) for _ in range(int(count))]

    def _string(self, schema: Schema, _: int) -> str:
        word = _WORDS[next(self._drawn) % len(_WORDS)]
        repeated = word * math.ceil(schema.get("minLength", 0) / len(word) or 1)
        return repeated[: schema.get("maxLength", max(len(word), schema.get("minLength", 0)))]

    def _integer(self, schema: Schema, _: int) -> int:
        low, high = _bounds(schema)
        step = math.ceil(schema.get("multipleOf", 1))
        first, last = math.ceil(low / step), math.floor(high / step)
        first += first * step == schema.get("exclusiveMinimum")
        last -= last * step == schema.get("exclusiveMaximum")
        return int(step * (first + next(self._drawn) % max(1, last - first + 1)))

    def _number(self, schema: Schema, _: int) -> float:
        low, high = _bounds(schema)
        return float(low + (high - low) * (next(self._drawn) + 1) / (_BYTE + 1))

    def _boolean(self, *_: object) -> bool:
        return next(self._drawn) % 2 == 0


def _type(schema: Schema) -> str:
    """Name the type to make: of several the first that is not null."""
    said = schema.get("type", "object" if "properties" in schema else "string")
    return said if isinstance(said, str) else next((one for one in said if one != "null"), "null")


def _bounds(schema: Schema) -> tuple[float, float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 0 if high is None else min(0, high - _SPREAD)
    return low, low + _SPREAD if high is None else high
