"""What is no sound YAML is told with its line, and what is no text at all by its name."""

import pytest

from caption_flow.config import load_job
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

QUOTES = '; a text that begins with {, [, ", @ or the like, or holds ": ", needs quotes around it'
YAML = [
    ("a: 1\na: 2", 'pipeline.yaml, line 2: "a" is given twice, first on line 1'),
    ("{a: 1, a: 2}", 'pipeline.yaml, line 1: "a" is given twice, first on line 1'),
    (
        "vllm:\n  model: a\n  dtype: b\n  model: c",
        'pipeline.yaml, line 4: "model" is given twice, first on line 2',
    ),
    ("a: [1\n", "pipeline.yaml, line 2: not valid YAML: did not find expected ',' or ']'"),
    (
        "a: b: c",
        "pipeline.yaml, line 1: not valid YAML: mapping values are not allowed in this context"
        f"{QUOTES}",
    ),
    (
        "vllm:\n  inference_prompts:\n    - {title} is what?",
        "pipeline.yaml, line 3: not valid YAML: did not find expected '-' indicator" + QUOTES,
    ),
    (
        "vllm:\n  system_prompt: {title} is what?",
        "pipeline.yaml, line 2: not valid YAML: did not find expected key" + QUOTES,
    ),
    (
        "vllm:\n  system_prompt: @system.txt",
        "pipeline.yaml, line 2: not valid YAML: found character that cannot start any token"
        f"{QUOTES}",
    ),
    ("a: 1\n---\nb: 2", "pipeline.yaml, line 2: a second document begins; only one is read"),
    ("port: !!int 5", "pipeline.yaml, line 1: tags (words that begin with !) are not read"),
    (
        "a: &x [*x]",
        "pipeline.yaml, line 1: an alias (*) has no anchor (&) before it, or stands inside of it",
    ),
    (
        "a: 2024-13-45",
        "pipeline.yaml: a number or date in it cannot be read; put it in quotes",
    ),
    (
        f"a: {'9' * 5000}",
        "pipeline.yaml: a number or date in it cannot be read; put it in quotes",
    ),
    ("a: " + "[" * 200, "pipeline.yaml, line 1: nested more than 100 levels deep"),
    (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcd", "bcde", strict=True)
        ),
        "pipeline.yaml, line 5: more than 50000 values, with its aliases unfolded",
    ),
    ("#" * (1024 * 1024 + 1), "pipeline.yaml is over 1 MiB, too long for a configuration"),
]


@pytest.mark.parametrize(("text", "told"), YAML, ids=[told for _, told in YAML])
def test_what_is_no_sound_yaml_is_told_with_its_line(write: Write, text: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(text))

    assert str(refused.value) == told


def test_document_that_cannot_be_read_is_named(write: Write):
    path = write("")
    path.write_bytes(b"\xff\xfe\xfa")

    with pytest.raises(ConfigError, match=r"^pipeline\.yaml is not text in UTF-8$"):
        load_job("feed", path)
