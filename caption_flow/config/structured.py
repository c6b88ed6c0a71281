"""What form an answer must have: a JSON schema, one of some texts, a pattern or a grammar."""

from typing import Any

from caption_flow.config.values import Settings, Text, refuse

FORMS = ("json", "choice", "regex", "grammar")


class StructuredOutputs(Settings, frozen=True):
    """The form of the answers of a stage: one of these."""

    json: dict[str, Any] | None = None  # a JSON schema
    choice: tuple[Text, ...] | None = None  # one of these, letter by letter
    regex: Text | None = None
    grammar: Text | None = None  # as the engine's own grammars are written

    def __post_init__(self) -> None:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            refuse([f"{given[1] if given else 'json'} must be given alone: one of {_LISTED}"])


_LISTED = ", ".join(FORMS)
