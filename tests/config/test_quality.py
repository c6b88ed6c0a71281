"""Checks in a document: each with its own parameters, and each once."""

import pytest

from caption_flow.config import load_job
from caption_flow.config.quality import Check
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

MISTAKES = [
    ("{check: emty}", "[0].check"),
    ("{check: too_short}", '[0].check is "too_short", which needs words or characters'),
    ("{check: too_long}", '[0].check is "too_long", which needs words or characters'),
    ("{check: banned_words}", '[0].check is "banned_words", which needs banned'),
    ("{check: language}", '[0].check is "language", which needs languages'),
    ("{check: empty, words: 3}", '[0].words is for too_short and too_long, not for "empty"'),
    (
        "{check: echo, characters: 3}",
        '[0].characters is for too_short and too_long, not for "echo"',
    ),
    ("{check: refusal, banned: [x]}", '[0].banned is for banned_words, not for "refusal"'),
    ("{check: refusal, languages: [en]}", '[0].languages is for language, not for "refusal"'),
    (
        "{check: language, languages: [English]}",
        '[0].languages holds "English"; expected ISO 639 codes in lower case, as en',
    ),
    (
        "{check: banned_words, banned: [a, ' ']}",
        "[0].banned holds a text of nothing but white space",
    ),
    (
        "{check: empty, retries: 0, retry_sampling: [{temperature: 1}]}",
        "[0].retry_sampling is never used, as retries is 0",
    ),
    (
        "{check: empty, retries: 0, retry_prompt: Again.}",
        "[0].retry_prompt is never used, as retries is 0",
    ),
    (
        "{check: empty, retry_sampling: [{temperature: 1}, {temperature: 2}]}",
        "[0].retry_sampling has 2 items, but retries is 1",
    ),
    (
        "{check: empty}, {check: echo}, {check: empty}",
        '[2].check is "empty", like quality[0].check',
    ),
    (
        "{check: empty, retries: 0, then: keep}",
        '[0].then is "keep", and retries is 0: the check does nothing',
    ),
    (
        "{check: too_short, words: 9}, {check: too_long, words: 8}",
        "[1].words is 8, and quality[0].words 9: no text passes",
    ),
    (
        "{check: too_long, characters: 8}, {check: too_short, words: 9, characters: 90}",
        "[0].characters is 8, and quality[1].characters 90: no text passes",
    ),
    ("{check: empty, retries: 1000}", "[0].retries is 1000; expected a whole number from 0 to 100"),
]


@pytest.mark.parametrize(("checks", "told"), MISTAKES)
@pytest.mark.parametrize("section", ["vllm", "vllm.stages[0]"])
def test_wrong_check_is_told_at_its_place(write: Write, section: str, checks: str, told: str):
    stage = f"stages: [{{name: a, prompts: '?', quality: [{checks}]}}]"
    written = f"quality: [{checks}]" if section == "vllm" else stage

    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(f"vllm: {{{written}}}"))

    assert str(refused.value).startswith(f"pipeline.yaml: {section}.quality{told}")
    assert "\n" not in str(refused.value)


def test_checks_with_their_own_parameters_are_taken(write: Write):
    path = write("""
vllm:
  quality:
    - {check: too_short, words: 3, characters: 10, retries: 2, retry_sampling: [{top_k: 5}]}
    - {check: banned_words, banned: stock photo, then: reject}
    - {check: language, languages: [en, yue], retry_prompt: In English please.}
  stages: [{name: a, prompts: '?', quality: [{check: empty, retries: 0}]}]
""")

    [stage] = load_job("feed", path).config.vllm.resolved_stages()

    assert stage.quality == (Check(check="empty", retries=0),)


@pytest.mark.parametrize("section", ["vllm", "vllm.stages[0]"])
def test_step_of_the_polish_stands_there_once(write: Write, section: str):
    steps = "postprocess: [trim, full_stop, trim]"
    written = steps if section == "vllm" else f"stages: [{{name: a, prompts: '?', {steps}}}]"

    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(f"vllm: {{{written}}}"))

    told = f'pipeline.yaml: {section}.postprocess[2] is "trim", like postprocess[0]'
    assert str(refused.value) == told
