"""Other spellings of the form of answers: OpenAI's response_format, and vLLM's older names.

All become `structured_outputs`. Works on plain data, as legacy does.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.config.modern import Modern, Tree
from caption_flow.config.structured import FORMS, STRUCTURED
from caption_flow.config.words import Mistake, Steps, near, shown

RESPONSE_FORMAT = "response_format"
GUIDED = {f"guided_{form}": form for form in FORMS}
IN_SAMPLING = (*GUIDED, STRUCTURED, "guided_decoding", RESPONSE_FORMAT)
_TYPES = ("json_schema", "json_object", "text")
_OF_SCHEMA = ("schema", "name", "description", "strict")
_MOVED = f'belongs beside sampling, as "{STRUCTURED}", and is taken as that'


class _Form(Struct, frozen=True):
    """A form that was found under another name."""

    place: Steps
    value: Any
    parts: dict[str, Steps]  # its keys -> where each was written, if not below the place


def translate(modern: Modern) -> None:
    """Say all forms of a job's document in one way."""
    vllm = modern.tree.get("vllm")
    if not isinstance(vllm, dict):
        return
    for section, steps in _sections(vllm):
        forms = [*_spelled_otherwise(modern, section, steps)]
        if section is not vllm and STRUCTURED in vllm:
            modern.mistakes.extend(_no_text(form.place) for form in forms if form.value is None)
        said = [form for form in forms if form.value is not None]
        if STRUCTURED in section:
            said.insert(0, _Form((*steps, STRUCTURED), section[STRUCTURED], {}))
        modern.mistakes.extend(_double(form.place, said[0].place) for form in said[1:])
        if said:
            _set(modern, section, steps, said[0])


def _sections(vllm: Tree) -> Iterator[tuple[Tree, Steps]]:
    """Find the mappings that may have a form."""
    yield vllm, ("vllm",)
    stages = vllm.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list) else ()):
        if isinstance(stage, dict):
            yield stage, ("vllm", "stages", index)


def _set(modern: Modern, section: Tree, steps: Steps, form: _Form) -> None:
    value, new = form.value, (*steps, STRUCTURED)
    if isinstance(value, dict) and isinstance(value.get("json"), str):
        value = value | {"json": _read(value["json"])}
    section[STRUCTURED] = value
    if form.place != new:
        modern.written[new] = form.place
        modern.written.update({(*new, key): place for key, place in form.parts.items()})


def _read(text: str) -> Any:
    """Read a schema that is given as text; what is none stays as it is, and is told later."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _spelled_otherwise(modern: Modern, section: Tree, steps: Steps) -> Iterator[_Form]:
    """Take the forms with other names out of a section."""
    if RESPONSE_FORMAT in section:
        yield from _of_openai(modern, section.pop(RESPONSE_FORMAT), (*steps, RESPONSE_FORMAT))
    sampling = section.get("sampling")
    if not isinstance(sampling, dict):
        return
    for name in [name for name in IN_SAMPLING if name in sampling]:
        value, place = sampling.pop(name), (*steps, "sampling", name)
        modern.warnings.append((place, _MOVED))
        if name == RESPONSE_FORMAT:
            yield from _of_openai(modern, value, place)
        elif name in GUIDED and value is not None:
            yield _Form(place, {GUIDED[name]: value}, {GUIDED[name]: place})
        elif value is not None:
            yield _Form(place, value, {})


def _of_openai(modern: Modern, value: Any, place: Steps) -> Iterator[_Form]:
    """Read a response_format; a form of None where it asks for text, nothing where it is wrong."""
    if value is None:
        return
    mistake = _wrong(value, place)
    if mistake:
        modern.mistakes.append(mistake)
    elif value["type"] == "json_schema":
        within = (*place, "json_schema", "schema")
        yield _Form(place, {"json": value["json_schema"]["schema"]}, {"json": within})
    else:
        any_object = {"json": {"type": "object"}}
        yield _Form(place, any_object if value["type"] == "json_object" else None, {})


def _wrong(value: Any, place: Steps) -> Mistake | None:
    """Judge how a response_format is put together; the schema in it is judged as any other."""
    if not isinstance(value, dict):
        return Mistake(place, f"is {shown(value)}; expected a mapping with a type")
    kind = value.get("type")
    if kind not in _TYPES:
        return Mistake((*place, "type"), f"is {shown(kind)}; expected one of {', '.join(_TYPES)}")
    keys = ("type", "json_schema") if kind == "json_schema" else ("type",)
    if odd := _odd_key(value, keys, place):
        return odd
    if kind != "json_schema":
        return None
    inner, within = value.get("json_schema"), (*place, "json_schema")
    if not isinstance(inner, dict) or "schema" not in inner:
        return Mistake(within, 'needs "schema", a JSON schema')
    return _odd_key(inner, _OF_SCHEMA, within)


def _odd_key(value: Tree, keys: tuple[str, ...], place: Steps) -> Mistake | None:
    for name in value:
        if name not in keys:
            meant = near(str(name), keys)
            hint = f'; did you mean "{meant}"?' if meant else f"; expected {', '.join(keys)}"
            return Mistake(place, f"has no field {shown(name)}{hint}")
    return None


def _double(place: Steps, other: Steps) -> Mistake:
    return Mistake(place, f"stands beside {other[-1]}, which says the same; keep one of them")


def _no_text(place: Steps) -> Mistake:
    return Mistake(
        place, f"asks for text, but vllm.{STRUCTURED} is for all stages; write it at single ones"
    )
