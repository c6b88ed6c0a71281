"""Prompts in files of their own, named by documents, variables and flags."""

import os
from pathlib import Path

import pytest

from caption_flow.config import VllmConfig, dump, from_json, load_job
from caption_flow.config.prompt_files import LONGEST
from caption_flow.errors import ConfigError

ESCAPE = 'begin a text that has an @ itself with "@@"'


@pytest.fixture
def document(desk: Path) -> Path:
    """A document in a folder of its own, with a prompt beside it; the command runs elsewhere."""
    folder = desk / "project"
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "detail.txt").write_bytes("\ufeffTell é.\r\nAll {title}.\r\n".encode())
    return folder / "pipeline.yaml"


def loaded(document: Path, text: str, **changes: object) -> VllmConfig:
    document.write_text(text)
    environ = changes.pop("environ", {})
    return load_job("feed", document, changes, environ).config.vllm


def refused(document: Path, text: str) -> str:
    with pytest.raises(ConfigError) as found:
        loaded(document, text)
    return str(found.value).removeprefix(f"{document}: ")


def test_each_kind_of_prompt_may_stand_in_a_file(document: Path):
    named = "'@prompts/detail.txt'"
    check = f"[{{check: empty, retry_prompt: {named}}}]"
    stage = f"{{name: a, prompts: [x, {named}], system_prompt: {named}, quality: {check}}}"

    found = loaded(
        document,
        f"vllm: {{inference_prompts: {named}, system_prompt: {named}, quality: {check}, "
        f"stages: [{stage}]}}",
    )

    text = "Tell é.\nAll {title}."
    [stage_found] = found.stages
    assert (found.inference_prompts, found.system_prompt) == ((text,), text)
    assert found.quality[0].retry_prompt == text
    assert (stage_found.prompts, stage_found.system_prompt) == (("x", text), text)
    assert stage_found.quality
    assert stage_found.quality[0].retry_prompt == text


def test_file_of_a_variable_or_flag_is_looked_for_where_the_command_runs(document: Path):
    Path("here.txt").write_text("here")
    environ = {"CAPTION_FLOW_VLLM__INFERENCE_PROMPTS": "@here.txt"}

    of_variable = loaded(document, "", environ=environ)
    of_flag = loaded(document, "", **{"vllm.inference_prompts": ("a", "@here.txt")})

    assert of_variable.inference_prompts == ("here",)
    assert of_flag.inference_prompts == ("a", "here")


def test_doubled_at_begins_a_text(document: Path):
    found = loaded(document, "vllm: {inference_prompts: ['@@you: look', 'mail me@host']}")

    assert found.inference_prompts == ("@you: look", "mail me@host")


def test_text_that_begins_with_an_at_is_handed_down_as_it_is(document: Path):
    document.write_text("vllm: {inference_prompts: '@@@x'}")
    config = load_job("feed", document).config

    assert from_json(dump(config)).vllm.inference_prompts == ("@@x",)


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (None, "which is not there"),
        (b"", "which is empty"),
        (b" \n", "which is empty"),
        (b"\xff", "which is not text in UTF-8"),
        (b"x" * (LONGEST + 1), "which is over 64 KiB"),
    ],
)
def test_file_that_is_no_prompt_is_told(document: Path, contents: bytes | None, why: str):
    file = document.parent / "x.txt"
    if contents is not None:
        file.write_bytes(contents)

    found = refused(document, "vllm: {inference_prompts: [a, '@x.txt']}")

    assert found == f"vllm.inference_prompts[1] names the file {file}, {why}; {ESCAPE}"


def test_file_that_is_called_a_little_otherwise_is_named(document: Path):
    (document.parent / "detail.txt").write_text("Tell all.")

    found = refused(document, "vllm: {inference_prompts: '@detial.txt'}")

    assert 'which is not there (did you mean "detail.txt"?); begin' in found


def test_pipe_is_not_waited_for(document: Path):
    os.mkfifo(document.parent / "pipe")

    assert "which is no file" in refused(document, "vllm: {system_prompt: '@pipe'}")


@pytest.mark.parametrize("name", ["~nobody-at-all/x", "x\\0y", "x" * 5000])
def test_name_that_no_file_can_have_is_told(document: Path, name: str):
    found = refused(document, f'vllm: {{system_prompt: "@{name}"}}')

    assert found.startswith("vllm.system_prompt ")
    assert found.endswith(ESCAPE)


def test_mistake_in_a_file_is_told_with_place_and_file(document: Path):
    file = document.parent / "x.txt"
    file.write_text("{title")

    one = refused(document, "vllm: {inference_prompts: '@x.txt'}")
    many = refused(document, "vllm: {stages: [{name: a, prompts: [x, '@x.txt']}]}")

    assert one.startswith(f'vllm.inference_prompts[0] ({file}) has a "{{" without')
    assert many.startswith(f'vllm.stages[0].prompts[1] ({file}) has a "{{" without')


def test_mistake_of_a_text_that_overrides_a_file_does_not_name_the_file(document: Path):
    (document.parent / "x.txt").write_text("fine")
    document.write_text("vllm: {inference_prompts: '@x.txt'}")

    with pytest.raises(ConfigError) as found:
        load_job("feed", document, {"vllm.inference_prompts": ("{a",)})

    assert str(found.value).startswith("command line: vllm.inference_prompts[0] has")
