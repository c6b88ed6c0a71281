"""Prompts, filled in for one sample."""

from typing import Any

from msgspec.structs import replace

from caption_flow.model import Outcome, Sample
from caption_flow.worker.wording import filling

SAMPLE = Sample(
    "d/1.jpg",
    "data",
    "d",
    "c1",
    "https://host/a%20b.jpg?x",
    columns={"title": "{captions}", "n": 3},
)


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
    fill = filling(SAMPLE)

    assert fill("{title}: {column:n}") == "{captions}: 3"
    assert fill("{filename} {gone|none}") == "a b.jpg none"


def test_prompt_without_fields_is_the_same():
    assert filling(SAMPLE)("Describe.") == "Describe."


def test_doubled_braces_are_one_without_any_field():
    assert [filling(SAMPLE)(text) for text in ('{{"a": 1}}', "}}")] == ['{"a": 1}', "}"]


def test_texts_of_earlier_stages_are_joined_in_their_order():
    outcomes = [outcome({"captions": ["a", "b"]}), outcome({"captions": ["c"]})]

    assert filling(SAMPLE, outcomes)("{captions}") == "a, b, c"


def test_fields_of_a_form_hide_columns_and_the_last_counts():
    outcomes = [outcome({}, title="first", tags=["x", "y"]), outcome({}, title="last")]

    prompt = filling(SAMPLE, outcomes)("{title} {tags} {col:title}")

    assert prompt == "last x, y {captions}"


def test_each_sample_has_its_own():
    other = replace(SAMPLE, columns={"n": 4})

    assert [filling(sample)("{n}") for sample in (SAMPLE, other)] == ["3", "4"]
