"""Prompts of a stage, filled in for one sample."""

from typing import Any

from msgspec.structs import replace

from caption_flow.config.quality import Check
from caption_flow.config.vllm import Stage
from caption_flow.model import Outcome, Sample
from caption_flow.worker.wording import worded

SAMPLE = Sample(
    "d/1.jpg",
    "data",
    "d",
    "c1",
    "https://host/a%20b.jpg?x",
    columns={"title": "{captions}", "n": 3},
)


def stage(*prompts: str, **values: Any) -> Stage:
    return Stage(name="s", model="m", prompts=prompts, **values)


def outcome(outputs: dict[str, list[str]], **fields: Any) -> Outcome:
    return Outcome(
        stage="earlier",
        outputs=outputs,
        engine="simulated",
        model="m",
        prompts="0" * 16,
        prompt_tokens=1,
        output_tokens=1,
        finish_reasons=["stop"],
        settings_version=1,
        attempt=1,
        worker="w",
        contributor="",
        captioned_at=0.0,
        fields=fields,
    )


def test_prompts_are_filled_in_with_columns_and_file():
    found, prompts = worded(stage("{title}: {column:n}", "{filename} {gone|none}"), SAMPLE)

    assert prompts == ["{captions}: 3", "a b.jpg none"]
    assert found.prompts == ("{title}: {column:n}", "{filename} {gone|none}")


def test_system_prompt_and_prompts_of_second_tries_are_filled_in():
    checks = (Check(check="empty", retry_prompt="Again: {n}"), Check(check="echo"))

    found, _ = worded(stage("?", system_prompt="On {n}", quality=checks), SAMPLE)

    assert found.system_prompt == "On 3"
    assert found.quality == (replace(checks[0], retry_prompt="Again: 3"), checks[1])


def test_stage_without_fields_is_the_same():
    plain = stage("Describe.", system_prompt="Be brief.", quality=(Check(check="empty"),))

    found, prompts = worded(plain, SAMPLE)

    assert found is plain
    assert prompts == ["Describe."]


def test_doubled_braces_are_one_without_any_field():
    assert worded(stage('{{"a": 1}}', "}}"), SAMPLE)[1] == ['{"a": 1}', "}"]


def test_texts_of_earlier_stages_are_joined_in_their_order():
    outcomes = [outcome({"captions": ["a", "b"]}), outcome({"captions": ["c"]})]

    assert worded(stage("{captions}"), SAMPLE, outcomes)[1] == ["a, b, c"]


def test_fields_of_a_form_hide_columns_and_the_last_counts():
    outcomes = [outcome({}, title="first", tags=["x", "y"]), outcome({}, title="last")]

    [prompt] = worded(stage("{title} {tags} {col:title}"), SAMPLE, outcomes)[1]

    assert prompt == "last x, y {captions}"


def test_changed_prompts_of_a_stage_are_used_at_once():
    before, after = stage("old {n}"), stage("new {n}")

    assert [worded(one, SAMPLE)[1] for one in (before, after)] == [["old 3"], ["new 3"]]
