"""Structured: the text of an answer becomes the columns that its form promises.

An answer comes from a model on somebody's server and may be anything. What has not the form is
raised as Unparsed, in words that show little of it.
"""

from typing import Any

import msgspec

from caption_flow.config.structured import StructuredOutputs
from caption_flow.errors import Unparsed
from caption_flow.structured import pattern
from caption_flow.structured.strict import NotStrict, read
from caption_flow.structured.words import seen

LONGEST = 256 * 1024  # characters of an answer


def parse(form: StructuredOutputs, text: str) -> dict[str, Any]:
    """Give the columns of an answer; raise Unparsed where the text has not the form.

    A grammar is the engine's own to judge, and so is a pattern that could take Python too long.
    """
    if len(text) > LONGEST:
        raise Unparsed(f"The answer has {len(text):,} characters; {LONGEST:,} are the most.")
    if form.json is not None:
        return _columns(form, text)
    if form.choice is not None and text not in form.choice:
        raise Unparsed(f"The answer, {seen(text)}, is none of the {len(form.choice)} choices.")
    if form.regex is not None and not pattern.matches(form.regex, text):
        raise Unparsed(f"The answer, {seen(text)}, does not match the regex.")
    return {}


def _columns(form: StructuredOutputs, text: str) -> dict[str, Any]:
    try:
        value = read(text)
    except NotStrict as exc:
        raise Unparsed(f"The answer, {seen(text)}, is no JSON that can be kept: {exc}.") from exc
    from caption_flow.structured import judge  # noqa: PLC0415 - loads what few need

    why = judge.objection(msgspec.json.encode(form.json, order="sorted"), value)
    if why:
        raise Unparsed(f"The answer, {seen(text)}, is not as its schema says: {why}.")
    if not isinstance(value, dict):
        return {}
    kinds = form.fields
    return {name: _typed(value[name], kinds[name]) for name in kinds if name in value}


def _typed(value: Any, kind: str) -> Any:
    """Write whole numbers as such: to JSON schema, 3.0 is an integer."""
    if kind == "int64" and isinstance(value, float) and value.is_integer():
        return int(value)
    return [_typed(item, "int64") for item in value] if _is_list_of_int(value, kind) else value


def _is_list_of_int(value: Any, kind: str) -> bool:
    return kind == "list<int64>" and isinstance(value, list)
