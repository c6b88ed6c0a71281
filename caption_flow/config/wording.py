"""Prompts as templates: whether each can be read and has its fields, and the columns they need.

All prompts count that a stage goes by: its own, the system prompt, and those of second tries.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from caption_flow.errors import BadTemplate
from caption_flow.template import FILENAME, Field, Template, known_as, parse

if TYPE_CHECKING:  # it asks us for the mistakes in its prompts
    from caption_flow.config.vllm import Stage, VllmConfig


class Need(Struct, frozen=True):
    """A column that a prompt is filled in with."""

    prompt: str  # its place in the section: "stages[0].prompts[1]"
    field: Field
    earlier: tuple[str, ...] = ()  # the names it might have had: what earlier stages write
    optional: bool = False


class _Prompt(Struct, frozen=True):
    place: str
    text: str


class _Written(Struct, frozen=True):
    """What the stages before one write, by name, and those after it."""

    earlier: tuple[str, ...]
    later: dict[str, str]  # name -> the first stage after this one that writes it


def mistakes(section: "VllmConfig") -> Iterator[str]:
    """Say which prompts cannot be filled in, each beginning with its place."""
    told: dict[str, None] = {}
    for prompt, written in _prompts(section):
        try:
            template = parse(prompt.text)
        except BadTemplate as exc:
            told[f"{prompt.place} {exc}"] = None
        else:
            told |= dict.fromkeys(_too_early(prompt, template, written))
    yield from told


def needs(section: "VllmConfig") -> tuple[Need, ...]:
    """Return what the prompts need of each sample, in the order they are asked."""
    found = {
        _need(prompt, field, written): None
        for prompt, written in _prompts(section)
        for field in parse(prompt.text).fields
        if _is_column(field, written)
    }
    return tuple(found)


def _need(prompt: _Prompt, field: Field, written: _Written) -> Need:
    names = () if field.column else written.earlier
    return Need(prompt.place, field, names, optional=field.default is not None)


def _is_column(field: Field, written: _Written) -> bool:
    if field.column:
        return True
    return known_as(field.name, written.earlier) is None and field.name.strip() != FILENAME


def _too_early(prompt: _Prompt, template: Template, written: _Written) -> Iterator[str]:
    for field in template.fields:
        name = known_as(field.name, written.later)
        if name is not None and not field.column and name not in written.earlier:
            stage = written.later[name]
            yield (
                f'{prompt.place} has {field.spelled}, which only the later stage "{stage}" writes; '
                f'put "{stage}" into requires, or write {{column:{name}}} for a column of the data'
            )


def _prompts(section: "VllmConfig") -> Iterator[tuple[_Prompt, _Written]]:
    stages = section.resolved_stages()
    for number, stage in enumerate(stages):
        written = _written(stages, number)
        for prompt in _prompts_of(section, stage):
            yield prompt, written


def _prompts_of(section: "VllmConfig", stage: "Stage") -> Iterator[_Prompt]:
    """Give the prompts that one stage goes by, each at the place where it is written."""
    index, own = next(
        ((n, one) for n, one in enumerate(section.stages) if one.name == stage.name), (0, None)
    )
    at = f"stages[{index}]." if own else ""
    if stage.system_prompt:
        is_own = own is not None and own.system_prompt is not None
        yield _Prompt(f"{at if is_own else ''}system_prompt", stage.system_prompt)
    for number, text in enumerate(stage.prompts):
        yield _Prompt(f"{at}prompts[{number}]" if own else f"inference_prompts[{number}]", text)
    is_own = own is not None and own.quality is not None
    for number, check in enumerate(stage.quality):
        if check.retry_prompt:
            place = f"{at if is_own else ''}quality[{number}].retry_prompt"
            yield _Prompt(place, check.retry_prompt)


def _written(stages: "Sequence[Stage]", number: int) -> _Written:
    before, after = stages[:number], stages[number + 1 :]
    later: dict[str, str] = {}
    for stage in after:
        later = dict.fromkeys(_fields(stage), stage.name) | later
    return _Written(
        earlier=tuple(dict.fromkeys(name for stage in before for name in _fields(stage))),
        later=later,
    )


def _fields(stage: "Stage") -> tuple[str, ...]:
    """Name what a stage writes, as far as its form tells."""
    form = stage.structured_outputs
    return (stage.output_field, *(form.fields if form else ()))
