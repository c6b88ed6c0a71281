"""Prompts as templates: what is told of a wrong one, and which columns they need."""

from typing import Any

import pytest

from caption_flow.config import StageConfig, VllmConfig, load_job
from caption_flow.config.structured import StructuredOutputs
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

NOT_CLOSED = 'has a "{" without its "}", in "{a"; write "{{" and "}}" for braces'


def told(write: Write, text: str, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(text), overrides)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("vllm: {inference_prompts: '{a'}", "vllm.inference_prompts[0]"),
        ("vllm: {inference_prompts: [ok, '{a']}", "vllm.inference_prompts[1]"),
        ("vllm: {system_prompt: '{a'}", "vllm.system_prompt"),
        (
            "vllm: {quality: [{check: empty, retry_prompt: '{a'}]}",
            "vllm.quality[0].retry_prompt",
        ),
        (
            "orchestrator: {vllm: {stages: [{name: b, prompts: x}, {name: c, prompts: '{a'}]}}",
            "orchestrator.vllm.stages[1].prompts[0]",
        ),
        (
            "vllm: {stages: [{name: b, prompts: x, system_prompt: '{a'}]}",
            "vllm.stages[0].system_prompt",
        ),
        (
            "vllm: {stages: [{name: b, prompts: x, quality: [{check: echo, retry_prompt: '{a'}]}]}",
            "vllm.stages[0].quality[0].retry_prompt",
        ),
    ],
)
def test_prompt_that_cannot_be_read_is_told_with_its_place(write: Write, text: str, place: str):
    assert told(write, text).startswith(f"pipeline.yaml: {place} {NOT_CLOSED}")


def test_mistake_in_a_shared_system_prompt_is_told_once(write: Write):
    text = "vllm: {system_prompt: '{a', stages: [{name: b, prompts: x}, {name: c, prompts: x}]}"

    assert len(told(write, text).splitlines()) == 1


def test_mistake_of_a_flag_is_told_as_one_of_the_flag(write: Write):
    found = told(write, "port: 1", {"vllm.inference_prompts": ("ok", "{a")})

    assert found.startswith(f"command line: vllm.inference_prompts[1] {NOT_CLOSED}")


def test_prompt_of_an_older_document_with_json_in_it_is_told_what_to_do(write: Write):
    text = """vllm: {inference_prompts: ['Answer as {"title": "..."}']}"""

    assert told(write, text) == (
        'pipeline.yaml: vllm.inference_prompts[0] has "{"title": "..."}", where only "column" may '
        'stand before the colon; write "{{" and "}}" for braces that are meant as such'
    )


def test_prompts_that_stages_stand_in_for_are_not_looked_at(write: Write):
    load_job("feed", write("vllm: {inference_prompts: '{a', stages: [{name: b, prompts: x}]}"))


def test_field_that_only_a_later_stage_writes_is_refused(write: Write):
    text = (
        "vllm: {stages: [{name: short, prompts: 'Shorten {detail}', output_field: brief}, "
        "{name: long, prompts: x, output_field: detail}]}"
    )

    assert told(write, text) == (
        "pipeline.yaml: vllm.stages[0].prompts[0] has {detail}, which only the later stage "
        '"long" writes; put "long" into requires, or write {column:detail} for a column of the data'
    )


def test_field_of_a_required_stage_is_taken_wherever_that_is_written(write: Write):
    text = (
        "vllm: {stages: [{name: short, prompts: 'Shorten {detail}', requires: long}, "
        "{name: long, prompts: x, output_field: detail}]}"
    )

    assert load_job("feed", write(text)).config.needs() == ()


def needed(*stages: StageConfig, **section: Any) -> list[tuple[str, str, bool]]:
    found = VllmConfig(stages=stages, **section).needs()
    return [(need.prompt, need.field.spelled, need.optional) for need in found]


def test_needed_columns_are_named_with_their_prompts():
    prompts = ("{a} {column:b} {col:b} {c|d}", "{filename} {column:filename}")

    assert needed(inference_prompts=prompts, system_prompt="{a}") == [
        ("system_prompt", "{a}", False),
        ("inference_prompts[0]", "{a}", False),
        ("inference_prompts[0]", "{column:b}", False),
        ("inference_prompts[0]", "{c}", True),
        ("inference_prompts[1]", "{column:filename}", False),
    ]


def test_what_an_earlier_stage_writes_needs_no_column():
    form = StructuredOutputs(json={"type": "object", "properties": {"color": {}}})
    first = StageConfig(name="a", prompts=("?",), output_field="x", structured_outputs=form)
    second = StageConfig(name="b", prompts=("{x} {color} {column:color} {other}",))

    assert needed(first, second) == [
        ("stages[1].prompts[0]", "{column:color}", False),
        ("stages[1].prompts[0]", "{other}", False),
    ]


def test_needs_of_a_job_are_told_as_in_its_document(write: Write):
    [need] = load_job("feed", write("vllm: {inference_prompts: '{title}'}")).config.needs()

    assert need.prompt == "vllm.inference_prompts[0]"
