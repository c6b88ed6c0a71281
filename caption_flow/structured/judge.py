"""Structured: whether a value is as its JSON schema says, in a time that nobody can draw out."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry

from caption_flow.structured import pattern
from caption_flow.structured.words import seen

# Steps along a $ref for one answer. A schema that refers to itself with a choice each time has
# twice as many ways at each level of a value: one of 30 levels would be judged for ever.
_MOST = 10_000


class _Endless(Exception):
    """More steps than anybody waits for."""


def objection(schema: bytes, value: Any) -> str:
    """Say in a few words where a value is not as the schema says; "" where it is."""
    try:
        error = _judge(schema).error(value)
    except _Endless:
        return f"it cannot be judged in {_MOST:,} steps"
    except (RecursionError, ArithmeticError) as exc:
        return f"it cannot be judged ({type(exc).__name__})"
    if error is None:
        return ""
    place = seen(error.json_path) if error.absolute_path else "the whole"
    return f'{place} does not fulfil "{error.validator}"'


class _Judge:
    """A schema, ready to judge values by."""

    def __init__(self, schema: bytes) -> None:
        document = msgspec.json.decode(schema)
        dialect = validator_for(document)
        self._theirs = dialect.VALIDATORS
        self._left = 0
        ours = {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "uniqueItems": _unique,
            "enum": self._enum,
            "$ref": self._step,
        }
        self._validator = extend(dialect, ours)(document, registry=Registry())  # fetches nothing

    def error(self, value: Any) -> ValidationError | None:
        """Find the first thing that is wrong with a value."""
        self._left = _MOST
        return next(self._validator.iter_errors(value), None)

    def _step(
        self, validator: Validator, reference: str, value: Any, schema: Any
    ) -> Iterator[ValidationError]:
        self._left -= 1
        if self._left < 0:
            raise _Endless
        yield from self._theirs["$ref"](validator, reference, value, schema) or ()

    def _enum(
        self, validator: Validator, choices: list[Any], value: Any, schema: Any
    ) -> Iterator[ValidationError]:
        """Compare fast what most are: texts, and what is none of them even to Python."""
        if value not in choices:
            yield ValidationError("none of these")
        elif not isinstance(value, str):
            yield from self._theirs["enum"](validator, choices, value, schema) or ()


@lru_cache(maxsize=64)
def _judge(schema: bytes) -> _Judge:
    return _Judge(schema)


def _pattern(_: Validator, regex: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not pattern.is_found(regex, value):
        yield ValidationError("no match")


def _pattern_properties(
    validator: Validator, schemas: Mapping[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    for regex, schema in schemas.items():
        for name, item in value.items() if isinstance(value, dict) else ():
            if pattern.is_found(regex, name):
                yield from validator.descend(item, schema, path=name, schema_path=regex)


def _unique(_: Validator, wanted: bool, value: Any, __: Any) -> Iterator[ValidationError]:  # noqa: FBT001
    """Compare as text: item by item, a long list would take for ever."""
    if wanted and isinstance(value, list):
        texts = {msgspec.json.encode(item, order="sorted") for item in value}
        if len(texts) < len(value):
            yield ValidationError("two alike")
