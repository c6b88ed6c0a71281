"""Worker: the prompts of a stage, filled in for one sample.

Fields are what earlier stages wrote of the sample; whatever it holds, filling in gives texts.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec.structs import replace

from caption_flow.config.quality import Check
from caption_flow.config.vllm import Stage
from caption_flow.model import Outcome, Sample
from caption_flow.template import Template, parse

_Fill: TypeAlias = Callable[[str], str]

# Prompts come and go while a worker runs; a job has a few.
_KEPT = 256
_BRACES = ("{", "}")


def worded(
    stage: Stage, sample: Sample, outcomes: Sequence[Outcome] = ()
) -> tuple[Stage, list[str]]:
    """Return the stage with its system prompt and prompts of second tries filled in, and its
    prompts filled in.

    The stage itself where nothing of it changes. ConfigError where a prompt is no template, as
    can only be where the settings were never checked.
    """
    earlier: dict[str, Any] | None = None

    def fill(text: str) -> str:
        nonlocal earlier
        template = _parsed(text)
        if template is None:
            return text
        earlier = fields_of(outcomes) if earlier is None else earlier
        return template.render(sample.columns, earlier, sample.source)

    return _filled(stage, fill), [fill(prompt) for prompt in stage.prompts]


def fields_of(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Gather what stages wrote by name: texts of all of them in stage order, or the last value."""
    values: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for outcome in outcomes:
        values |= outcome.fields
        for name, said in outcome.outputs.items():
            texts.setdefault(name, []).extend(said)
    return values | texts


def _filled(stage: Stage, fill: _Fill) -> Stage:
    system = fill(stage.system_prompt) if stage.system_prompt else stage.system_prompt
    quality = tuple(_refilled(check, fill) for check in stage.quality)
    if system == stage.system_prompt and quality == stage.quality:
        return stage
    return replace(stage, system_prompt=system, quality=quality)


def _refilled(check: Check, fill: _Fill) -> Check:
    prompt = fill(check.retry_prompt) if check.retry_prompt else check.retry_prompt
    return check if prompt == check.retry_prompt else replace(check, retry_prompt=prompt)


@lru_cache(_KEPT)
def _parsed(text: str) -> Template | None:
    """Read a prompt; None where it is filled in with nothing."""
    return parse(text) if any(brace in text for brace in _BRACES) else None
