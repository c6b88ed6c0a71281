"""Consent: how large the form of answers may be that a job of others asks for.

Engines turn a form into a machine before the first answer, and look at it at each token. What
counts and nests within these bounds is made in a moment. What Python itself does with a form, and
with the answers, is bounded in `structured`.
"""

import re
from collections.abc import Iterator
from typing import Any

from caption_flow.config.structured import StructuredOutputs

MOST = 10_000  # of whatever a form counts
MOST_MADE = 1000  # items that the simulated engine makes of a schema
_DEEPEST = 64  # brackets within brackets
_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_PATTERNS = ("pattern", "patternProperties")
_COUNTING = frozenset(
    {
        *("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"),
        *("minContains", "maxContains"),
    }
)


def form_objections(form: StructuredOutputs | None, engine: str) -> Iterator[str]:
    """Say why answers of a form are not made here."""
    if form is None:
        return
    for name, text in (("regex", form.regex), ("grammar", form.grammar)):
        if text is not None and (why := _of_pattern(text)):
            yield f"structured_outputs.{name} {why}"
    if form.json is None:
        return
    parts = [*_parts(form.json)]
    yield from (f"structured_outputs.json {why}" for why in _of_schema(parts))
    if engine == "simulated" and _made(parts) > MOST_MADE:
        yield f"structured_outputs.json asks for over {MOST_MADE:,} items of the simulated engine"


def _of_pattern(text: str) -> str:
    counts = [n.lstrip("0") for found in _COUNTS.findall(text) for n in found]
    if any(len(n) > len(str(MOST)) or int(n or 0) > MOST for n in counts):
        return f"counts beyond {MOST:,}"
    depth = deepest = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return f"nests over {_DEEPEST} levels deep" if deepest > _DEEPEST else ""


def _of_schema(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        for name, value in part.items():
            if name in _COUNTING and isinstance(value, int | float) and value > MOST:
                yield f"has a {name} beyond {MOST:,}"
            patterns = [value] if name == "pattern" else value if name in _PATTERNS else ()
            for pattern in patterns:
                if isinstance(pattern, str) and (why := _of_pattern(pattern)):
                    yield f"has a pattern that {why}"


def _made(parts: list[dict[str, Any]]) -> float:
    """Bound the items of an answer; what is referred to may be made any number of times."""
    made = 1.0
    for part in parts:
        least = [part.get(name) for name in ("minItems", "minLength")]
        made *= max(1, *(n for n in least if isinstance(n, int | float)), 1)
    return made * MOST_MADE if made > 1 and any("$ref" in part for part in parts) else made


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Walk through all mappings of a schema, however deep they lie."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
