"""What form an answer must have: a JSON schema, one of some texts, a pattern or a grammar."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from caption_flow.config import json_schema
from caption_flow.config.fields import kinds, odd_names
from caption_flow.config.values import Settings, Text, refuse
from caption_flow.config.words import repeated, shown

STRUCTURED = "structured_outputs"  # the key
FORMS = ("json", "choice", "regex", "grammar")
LARGEST = 64 * 1024  # bytes of a form, as JSON
_FEWEST = 2  # choices


class StructuredOutputs(Settings, frozen=True):
    """The form of the answers of a stage: one of these."""

    MEANT: ClassVar[Mapping[str, str]] = {
        "schema": "json",
        "json_schema": "json",
        "type": "json.type",
        "properties": "json.properties",
        "enum": "choice",
        "pattern": "regex",
    }

    json: dict[str, Any] | None = None  # a JSON schema
    choice: tuple[Text, ...] | None = None  # one of these, letter by letter
    regex: Text | None = None  # of the whole answer; engines have their own dialects
    grammar: Text | None = None  # as the engine's own grammars are written

    def __post_init__(self) -> None:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if not given:
            refuse([f" is empty; it needs one of {_LISTED}"])
        if len(given) > 1:
            refuse([f"{given[1]} must be given alone: one of {_LISTED}"])
        refuse(_size(given[0], getattr(self, given[0])))
        if self.json is not None:
            refuse(json_schema.mistakes(self.json))
            refuse(odd_names([*self.fields]))
        if self.choice is not None:
            refuse(_choices(self.choice))
        if self.regex is not None:
            refuse(_pattern(self.regex))

    @property
    def fields(self) -> dict[str, str]:
        """The columns that an answer becomes beside its text, each with its kind."""
        return {} if self.json is None else kinds(self.json)


_LISTED = ", ".join(FORMS)


def _size(name: str, form: Any) -> Iterator[str]:
    if len(msgspec.json.encode(form)) > LARGEST:
        yield f"{name} is over {LARGEST >> 10} KiB, too long for the form of an answer"


def _choices(choice: Sequence[str]) -> Iterator[str]:
    if len(choice) < _FEWEST:
        yield f"choice has {len(choice)} of them; there must be two or more to choose from"
    yield from repeated(choice, "choice[{}]")


def _pattern(regex: str) -> Iterator[str]:
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError) as exc:
        yield f"regex is {shown(regex)}, which Python cannot read ({exc})"
