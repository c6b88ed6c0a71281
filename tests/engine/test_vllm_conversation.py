"""What the real vLLM answers to the engine, on a CPU, with models of which we know the truth."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from caption_flow.engine.sampling import REPETITION
from tests.e2e.desk import wait_until
from tests.e2e.runs import processes_in
from tests.e2e.shapes import LOADING, ROOT, SHAPES, means

__all__ = ["means"]
pytestmark = pytest.mark.vllm

LOADS = 4
SENTENCE = re.compile(r"an? (\S+) (\S+) (\S+) on an? (\S+) background\.")
TRUTH = json.loads((SHAPES / "captions.json").read_text())
LOOP_TOKENS = REPETITION["min_pattern_size"] * REPETITION["min_count"]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that was said, by a process that has ended well."""
    folder = tmp_path_factory.mktemp("conversation")
    subprocess.run(
        [sys.executable, "-m", "tests.engine.conversation", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=LOADS * LOADING,
    )
    # A moment later: Python's own tracker of resources ends when it sees that its parent has.
    wait_until(lambda: processes_in(folder) == [], "the processes of vLLM to end")
    found: dict[str, Any] = json.loads((folder / "heard.json").read_text())
    return found


def fields(name: str) -> dict[str, str]:
    """The truth about an image, field by field."""
    match = SENTENCE.fullmatch(TRUTH[name])
    assert match
    return dict(zip(("size", "color", "shape", "background"), match.groups(), strict=True))


def test_answers_of_a_schema_all_parse(heard: dict[str, Any]):
    answers = [json.loads(answer["text"]) for answer in heard["fields"].values()]

    assert len(answers) == 64
    assert {tuple(answer) for answer in answers} == {("size", "color", "shape", "background")}


def test_answers_of_a_schema_are_true(heard: dict[str, Any]):
    right = [json.loads(a["text"]) == fields(name) for name, a in heard["fields"].items()]

    assert sum(right) >= 0.95 * len(right)


@pytest.mark.parametrize(
    ("form", "pattern"),
    [("choice", "yes, it is|no"), ("regex", "(red|blue) [0-9]{3}"), ("grammar", "left|right")],
)
def test_answers_of_other_forms_have_them(heard: dict[str, Any], form: str, pattern: str):
    assert re.fullmatch(pattern, heard["forms"][form]["text"])


@pytest.mark.parametrize("form", ["json", "regex", "grammar"])
def test_a_form_that_vllm_does_not_take_is_told_when_it_is_rehearsed(
    heard: dict[str, Any], form: str
):
    assert heard["mistakes"][form].startswith(
        f'EngineUnfit: The stage "fields": structured_outputs.{form} is not what vLLM takes: '
    )


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("misspelt", 'repetition_detection.max_patern_size is not .*"max_pattern_size"'),
        ("true", "vllm.sampling.repetition_detection is True; expected false, or"),
        ("twice", "structured_outputs does not count; write it as vllm.structured_outputs"),
        ("min_p", 'The sampling of the stage "talk": min_p'),
        ("rung", 'The sampling of the stage "talk": min_p'),
    ],
)
def test_wrong_sampling_is_told_when_it_is_rehearsed(
    heard: dict[str, Any], mistake: str, words: str
):
    assert re.search(words, heard["mistakes"][mistake])


def test_an_image_is_prepared_once_for_all_that_is_asked_about_it(heard: dict[str, Any]):
    assert heard["prepared"] == [64, 0]
    assert {answer["finish_reason"] for answer in heard["again"].values()} == {"stop"}


def test_what_a_column_says_stays_in_its_place(heard: dict[str, Any]):
    for found in heard["strange"].values():
        plain, strange = found["marks"]
        assert strange == plain
        assert found["finish_reason"] == "stop"


def test_prompts_that_cannot_be_harm_none_but_their_own(heard: dict[str, Any]):
    long, longer, broken, fine = heard["after_too_long"]

    assert [each["error"] for each in (long, longer, broken)] == ["EngineRefused"] * 3
    assert "3,000,000 characters" in longer["why"]
    assert fine["finish_reason"] == "stop"


def test_a_request_without_the_image_that_its_stage_shows_is_refused(heard: dict[str, Any]):
    assert heard["no_image"]["error"] == "EngineRefused"


def test_a_stage_without_images_is_answered(heard: dict[str, Any]):
    assert heard["text_only"]["output_tokens"] > 0
    assert heard["text_only"]["prompt_tokens"] < heard["unsent"]["prompt_tokens"]


def test_an_image_that_was_prepared_and_never_sent_is_sent_later(heard: dict[str, Any]):
    assert heard["unsent"]["finish_reason"] == "stop"


def test_loops_are_cut_off_unless_that_is_turned_off(heard: dict[str, Any]):
    assert heard["loops"]["finish_reason"] == "repetition"
    assert heard["loops"]["output_tokens"] == LOOP_TOKENS
    assert heard["loops_allowed"]["finish_reason"] == "length"


def test_two_engines_answer_at_the_same_time(heard: dict[str, Any]):
    assert all(answer["output_tokens"] > 0 for answer in heard["both"])


def test_an_engine_outlives_another(heard: dict[str, Any]):
    assert heard["other_stopped"]["output_tokens"] > 0


def test_an_engine_starts_again(heard: dict[str, Any]):
    assert heard["started_again"]["output_tokens"] > 0


def test_a_stage_that_shows_images_to_a_model_that_takes_none_is_told(heard: dict[str, Any]):
    assert 'The stage "describe" shows its images to' in heard["blind_shown"]
    assert 'say "image: false"' in heard["blind_shown"]


def test_a_load_that_is_given_up_ends_at_once(heard: dict[str, Any]):
    assert heard["given_up"]["cancelled"]
    assert heard["given_up"]["seconds"] < 5


def test_prepared_images_are_kept_where_they_are_seen_again(heard: dict[str, Any]):
    arguments = heard["arguments"]

    assert arguments["once"]["mm_processor_cache_gb"] == 0
    assert "mm_processor_cache_gb" not in arguments["prompts"]
    assert "mm_processor_cache_gb" not in arguments["twice"]


def test_nothing_is_held_for_images_where_no_stage_shows_any(heard: dict[str, Any]):
    assert heard["arguments"]["blind"]["language_model_only"] is True
    assert "limit_mm_per_prompt" not in heard["arguments"]["blind"]


def test_what_is_given_counts(heard: dict[str, Any]):
    assert heard["arguments"]["given"]["mm_processor_cache_gb"] == 0
    assert heard["arguments"]["given"]["structured_outputs_config"] == {}


def test_engines_on_one_device_share_its_memory(heard: dict[str, Any]):
    alone, shared = (heard["arguments"][n]["gpu_memory_utilization"] for n in ("blind", "shared"))

    assert shared == pytest.approx(alone / 2)


def test_what_keeps_answers_to_their_form_is_chosen_by_the_forms(heard: dict[str, Any]):
    backends = {
        name: found.get("structured_outputs_config", {}).get("backend")
        for name, found in heard["arguments"].items()
        if name in {"once", "guidance", "neither"}
    }

    assert backends == {"once": "xgrammar", "guidance": "guidance", "neither": None}


def test_an_argument_that_vllm_does_not_know_is_told_with_the_nearest(heard: dict[str, Any]):
    assert 'did you mean "max_model_len"?' in heard["arguments"]["misspelt"]
