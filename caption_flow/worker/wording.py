"""Worker: prompts, filled in for one sample.

Fields are what earlier stages wrote of the sample; whatever it holds, filling in gives texts.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from caption_flow.model import Outcome, Sample
from caption_flow.template import Template, parse

Fill: TypeAlias = Callable[[str], str]

# Prompts come and go while a worker runs; a job has a few.
_KEPT = 256
_BRACES = ("{", "}")


def filling(sample: Sample, outcomes: Sequence[Outcome] = ()) -> Fill:
    """Return what fills in prompts for a sample, with its columns and what earlier stages wrote.

    ConfigError where a prompt is no template, as can only be where the settings were never checked.
    """
    earlier: dict[str, Any] | None = None

    def fill(text: str) -> str:
        nonlocal earlier
        template = _parsed(text)
        if template is None:
            return text
        earlier = fields_of(outcomes) if earlier is None else earlier
        return template.render(sample.columns, earlier, sample.source)

    return fill


def fields_of(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Gather what stages wrote by name: texts of all of them in stage order, or the last value."""
    values: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for outcome in outcomes:
        values |= outcome.fields
        for name, said in outcome.outputs.items():
            texts.setdefault(name, []).extend(said)
    return values | texts


@lru_cache(_KEPT)
def _parsed(text: str) -> Template | None:
    """Read a prompt; None where it is filled in with nothing."""
    return parse(text) if any(brace in text for brace in _BRACES) else None
