"""The columns that answers become: of which kind each is, and that no two have one name."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from caption_flow.config.json_schema import Schema, follow

# Every column of ours in a part, in its order.
OWN: Final = (
    *("id", "dataset", "shard", "chunk", "source", "width", "height", "format", "bytes"),
    *("sha256", "prompts", "model", "engine", "settings_version", "prompt_tokens"),
    *("output_tokens", "finish_reasons", "attempt", "worker", "contributor", "captioned_at"),
    *("quality_flags", "attempts", "stages", "extra"),
)
LONGEST = 100  # characters of a column's name

_ANYTHING = "json"  # the kind of what has no other: JSON text
_KINDS = {"string": "string", "integer": "int64", "number": "double", "boolean": "bool"}
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def kinds(schema: Schema) -> dict[str, str]:
    """Name the columns that a schema's properties become, each with its kind."""
    top = _settled(schema, schema)
    properties = top.get("properties", {}) if isinstance(top, dict) else {}
    return {name: _kind(inner, schema) for name, inner in properties.items()}


def _kind(schema: Any, root: Schema) -> str:
    schema = _settled(schema, root)
    if _type(schema) != "array":
        return _kind_of_one(schema, root)
    if "prefixItems" in schema or isinstance(schema.get("items"), list):
        return _ANYTHING
    inner = _kind_of_one(schema.get("items"), root)
    return _ANYTHING if inner == _ANYTHING else f"list<{inner}>"


def _kind_of_one(schema: Any, root: Schema) -> str:
    return _KINDS.get(_type(_settled(schema, root)), _ANYTHING)


def _settled(schema: Any, root: Schema) -> Any:
    """Follow references, and leave out that it may be null as well."""
    while isinstance(schema, dict):
        rest = [
            each
            for keyword in ("anyOf", "oneOf", "allOf")
            for each in schema.get(keyword, ())
            if "type" not in schema and not _is_null(each)
        ]
        if "$ref" in schema:
            schema = follow(root, schema["$ref"])
        elif len(rest) == 1:
            [schema] = rest
        else:
            break
    return schema


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (
        schema.get("type") == "null" or schema.get("const", "") is None
    )


def _type(schema: Any) -> str:
    """Name the one type that a value has, null aside; "" where it may have several."""
    if not isinstance(schema, dict):
        return ""
    types = _types(schema) - {"null"}
    if types == {"integer", "number"}:
        return "number"
    return types.pop() if len(types) == 1 else ""


def _types(schema: Schema) -> set[str]:
    if "type" in schema:
        said = schema["type"]
        return {said} if isinstance(said, str) else set(said)
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    return {_TYPES.get(type(value), "") for value in values if value is not None}


def odd_names(names: Sequence[str]) -> Iterator[str]:
    """Say which properties cannot be columns."""
    for name in names:
        place = f"json.properties.{name[:LONGEST]}" if name.isprintable() else "json.properties"
        if not name:
            yield "json.properties has one without a name; it becomes a column and needs one"
        elif not name.isprintable():
            yield f"{place} has a name with characters that cannot be shown; it becomes a column"
        elif len(name) > LONGEST:
            yield f"{place}… has a name of over {LONGEST} characters; it becomes a column"


class Written(Struct, frozen=True):
    """What a stage writes, and where the settings say so."""

    stage: str
    output: str  # the column of its texts
    output_at: str
    fields: Sequence[str]  # the columns that its answers become beside that
    form_at: str
    prompts: int  # whose answers become these columns
    prompts_at: str


def clashes(stages: Sequence[Written]) -> Iterator[str]:
    """Say which columns have the name of another; an output may be that of several stages."""
    taken: dict[str, tuple[str, str]] = {}  # name -> where it is given, and by which stage
    for stage in stages:
        if stage.output in OWN:
            yield f"{stage.output_at} is {_as_ours(stage.output)}"
        if stage.prompts > 1:
            yield f"{stage.prompts_at} has {stage.prompts}{_ONE_PROMPT}"
        taken.setdefault(stage.output, (stage.output_at, stage.stage))
    for stage in stages:
        for name in stage.fields:
            place = f"{stage.form_at}.properties.{name}"
            if name in OWN:
                yield f"{place} is {_as_ours(name)}"
            elif name in taken:
                yield _like(place, *taken[name], stage.stage)
            else:
                taken[name] = (place, stage.stage)


_ONE_PROMPT = ", but where answers follow a JSON schema there is one: its answer becomes columns"


def _as_ours(name: str) -> str:
    return f'"{name}", the name of a column that every row has; choose another'


def _like(place: str, other: str, by: str, stage: str) -> str:
    if place == other:
        return f'{place} would be a column of the stages "{by}" and "{stage}"; write it at one'
    return f"{place} becomes a column of the same name as {other}; rename one of them"
