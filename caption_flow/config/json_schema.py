"""JSON schemas in the settings: whether one can be used as the form of answers.

A schema refers to its own parts and to nothing else, so nothing is ever fetched for it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import unquote

from caption_flow.config import schema_slips
from caption_flow.config.words import Steps, dotted, near, shown

Schema: TypeAlias = dict[str, Any]

_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "http://json-schema.org/draft-07/schema#",
)
_ALONE = frozenset({"not", "if", "then", "else"})  # keywords with a schema for the same value
_LISTED = frozenset({"allOf", "anyOf", "oneOf"})  # keywords with several
_FOR_SOME = ("dependentSchemas", "dependencies")  # keywords with schemas for the same value
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", *_FOR_SOME})
_BELOW = frozenset(
    {
        *("items", "prefixItems", "additionalItems", "contains", "unevaluatedItems"),
        *("additionalProperties", "propertyNames", "unevaluatedProperties"),
    }
)
_OTHERS = frozenset(
    {
        *("$schema", "$id", "$ref", "$comment", "title", "description", "default", "examples"),
        *("deprecated", "readOnly", "writeOnly", "type", "enum", "const", "format", "pattern"),
        *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains"),
        *("required", "minProperties", "maxProperties", "dependentRequired"),
        *("contentEncoding", "contentMediaType", "contentSchema"),
        *("example", "nullable"),  # OpenAPI's: no slips of the finger
    }
)
_KEYWORDS = _ALONE | _LISTED | _NAMED | _BELOW | _OTHERS
_SUCH_AS = "{type: object, properties: {color: {type: string}}}"
_ELSEWHERE = ("$dynamicRef", "$recursiveRef")
# Mistakes of one kind that are told: looking for what was meant takes seconds for thousands.
_MOST = 20
_CLOSE = 0.8  # so near to a keyword, another name is a slip of the finger


def mistakes(schema: Schema) -> Iterator[str]:
    """Say why a schema cannot be used; each line begins with a place, as `json.properties.a`."""
    dialect = schema.get("$schema", _DIALECTS[0])
    if dialect not in _DIALECTS:
        yield f'json.$schema is {shown(dialect)}; expected "{_DIALECTS[0]}", or leave it out'
        return
    try:
        broken = list(_broken(schema))
    except RecursionError:
        broken = ["json is nested too deep"]
    yield from broken
    if broken:
        return
    parts = dict(_parts(schema, ()))
    odd = [*islice((x for s, part in parts.items() for x in _odd_keywords(s, part)), _MOST)]
    yield from odd
    if schema and not odd and not schema.keys() & _KEYWORDS:
        yield f"json has none of the keywords of a JSON schema, such as {_SUCH_AS}"
    for steps, part in parts.items():
        yield from islice(schema_slips.mistakes(dotted(("json", *steps)), part), _MOST)
    wrong = [*islice(_wrong_references(parts), _MOST)]
    yield from wrong
    if not wrong:
        yield from _circles(parts, schema)


def follow(schema: Schema, reference: str) -> Any:
    """Find what a reference within a schema leads to; KeyError where that is nothing."""
    found: Any = schema
    for name in _names(reference):
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (IndexError, TypeError, ValueError) as exc:
            raise KeyError(reference) from exc
    return found


def _broken(schema: Schema) -> Iterator[str]:
    """Judge a schema by the schema for schemas."""
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - loads what few need
    from jsonschema.validators import validator_for  # noqa: PLC0415

    dialect = validator_for(schema)
    judge = dialect(dialect.META_SCHEMA, format_checker=dialect.FORMAT_CHECKER)
    error = best_match(judge.iter_errors(schema))
    if error is not None:
        place = dotted(("json", *error.absolute_path))
        yield f"{place} is {shown(error.instance)}; expected {_expected(error)}"


def _expected(error: Any) -> str:
    if isinstance(error.instance, str):  # a type may be a list as well, but this one is none
        error = next((each for each in error.context if each.validator == "enum"), error)
    match error.validator:
        case "enum":
            choices = ", ".join(map(str, error.validator_value))
            meant = near(str(error.instance), error.validator_value)
            return f"one of {choices}" + (f'; did you mean "{meant}"?' if meant else "")
        case "type":
            kinds = error.validator_value
            return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
        case "format":
            return f"a {error.validator_value}, as Python reads it"
    return f"what JSON schema allows there ({error.validator} {shown(error.validator_value)})"


def _parts(schema: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    """Walk through a schema and all schemas in it."""
    yield steps, schema
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword in _NAMED:
            for name, inner in value.items():
                yield from _parts(inner, (*steps, keyword, name))
        elif keyword in _ALONE | _LISTED | _BELOW and isinstance(value, list):
            for index, inner in enumerate(value):
                yield from _parts(inner, (*steps, keyword, index))
        elif keyword in _ALONE | _BELOW:
            yield from _parts(value, (*steps, keyword))


def _odd_keywords(steps: Steps, part: Any) -> Iterator[str]:
    place = dotted(("json", *steps))
    for name in part if isinstance(part, dict) else ():
        if name == "$id" and steps:
            yield f"{place}.$id is given; only the whole schema may have one"
        elif name in _ELSEWHERE:
            yield f"{place}.{name} is given; refer to a part of this schema with $ref"
        elif name not in _KEYWORDS and (meant := near(name, _KEYWORDS, cutoff=_CLOSE)):
            yield f'{place} has {shown(name)}, which is no keyword; did you mean "{meant}"?'


def _wrong_references(parts: dict[Steps, Any]) -> Iterator[str]:
    known = {tuple(map(str, steps)) for steps in parts}
    for steps, part in parts.items():
        reference = part.get("$ref") if isinstance(part, dict) else None
        if reference is None:
            continue
        place = f"{dotted(('json', *steps))}.$ref is {shown(reference)}"
        if reference != "#" and not reference.startswith("#/"):
            yield f'{place}; expected a part of this schema, like "#/$defs/NAME": none is fetched'
        elif tuple(_names(reference)) not in known:
            yield f"{place}, and there is no schema{_nearest(reference, known)}"


def _nearest(reference: str, known: set[tuple[str, ...]]) -> str:
    meant = near(reference, ["#/" + "/".join(steps) for steps in known])
    return f'; did you mean "{meant}"?' if meant else ""


def _names(reference: str) -> list[str]:
    """Take a JSON pointer apart, as it stands in a URL."""
    pointer = unquote(reference.removeprefix("#"))
    return [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]


def _circles(parts: dict[Steps, Any], schema: Schema) -> Iterator[str]:
    """Find what is judged by itself, of the same value: that would never end."""
    waiting = {id(part): _beside(part, schema) for part in parts.values()}
    while free := [part for part, needs in waiting.items() if not needs & waiting.keys()]:
        for part in free:
            del waiting[part]
    stuck = [steps for steps, part in parts.items() if id(part) in waiting]
    if stuck:
        yield f"{dotted(('json', *stuck[0]))} refers to itself without end"


def _beside(part: Any, schema: Schema) -> set[int]:
    """Name the schemas by which the same value is judged as by this one."""
    if not isinstance(part, dict):
        return set()
    inner = [part[keyword] for keyword in _ALONE & part.keys()]
    inner += [each for keyword in _LISTED & part.keys() for each in part[keyword]]
    inner += [each for keyword in _FOR_SOME for each in part.get(keyword, {}).values()]
    if "$ref" in part:
        inner.append(follow(schema, part["$ref"]))
    return {id(each) for each in inner if isinstance(each, dict)}
