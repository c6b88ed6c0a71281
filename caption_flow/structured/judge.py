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


def objection(schema: bytes, value: Any) -> str:
    """Say in a few words where a value is not as the schema says; "" where it is."""
    try:
        error = next(_validator(schema).iter_errors(value), None)
    except (RecursionError, ArithmeticError) as exc:
        return f"it cannot be judged ({type(exc).__name__})"
    if error is None:
        return ""
    place = seen(error.json_path) if error.absolute_path else "the whole"
    return f'{place} does not fulfil "{error.validator}"'


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Validator:
    document = msgspec.json.decode(schema)
    dialect = validator_for(document)
    ours = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique}
    made: Validator = extend(dialect, ours)(document, registry=Registry())  # it fetches nothing
    return made


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
