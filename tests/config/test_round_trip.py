"""What a parent hands to its children is what they read, whatever it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caption_flow.config import (
    JobConfig,
    MonitorConfig,
    WorkerConfig,
    dump,
    from_json,
    load_job,
    load_monitor,
    load_worker,
    read_dump,
)
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.config.check import decode, fields
from caption_flow.config.document import parse
from caption_flow.config.layers import SCHEMAS
from caption_flow.config.values import Settings
from caption_flow.config.variables import paths
from caption_flow.errors import ConfigError
from tests.config.conftest import Write
from tests.config.drawn import jobs, json, names, texts

here = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def told(load: Callable[[], object]) -> str | None:
    """Return the words of the refusal; None when there is none. Nothing else may be raised."""
    try:
        load()
    except ConfigError as refused:
        return str(refused)
    return None


def checked(tree: dict[str, Any]) -> JobConfig:
    config, mistakes = decode(JobConfig, tree)
    assert config is not None, mistakes
    return config


@given(jobs)
def test_dump_reads_back_exactly(tree: dict[str, Any]):
    config = checked(tree)

    assert from_json(dump(config)) == config


def test_defaults_read_back_exactly():
    assert from_json(dump(JobConfig())) == JobConfig()


@given(jobs)
def test_resolved_stages_are_the_same_on_both_sides(tree: dict[str, Any]):
    config = checked(tree)

    assert from_json(dump(config)).vllm.resolved_stages() == config.vllm.resolved_stages()


def publishable(tree: dict[str, Any], model: str) -> JobConfig:
    """Check a tree whose settings may be told to workers: its engine can do what is asked of it."""
    config = checked(tree | {"vllm": tree.get("vllm", {"model": model})})
    assume(config.engine != "openai" or config.openai.endpoints)
    forms = [stage.structured_outputs for stage in config.stages()]
    patterns = [form for form in forms if form and form.regex is not None]
    assume(config.engine != "simulated" or not patterns)
    return config


@given(jobs, names)
def test_workers_read_the_settings_that_the_job_has_written(tree: dict[str, Any], model: str):
    config = publishable(tree, model)

    written = broadcast(config)

    assert Broadcast.decode(written.encode()) == written
    assert Broadcast.decode(written.encode()).encode() == written.encode()
    assert written.stages == config.stages()


@given(jobs, names)
def test_child_broadcasts_what_its_parent_would(tree: dict[str, Any], model: str):
    config = publishable(tree, model)

    assert broadcast(from_json(dump(config))) == broadcast(config)


EVERYTHING = """
engine: openai
vllm:
  model: small
  postprocess: [trim, full_stop]
  quality: [{check: empty, retries: 2, retry_sampling: [{temperature: 1}, {seed: 5}]}]
  stages:
    - {name: look, prompts: [What?, Who?], output_field: seen}
    - name: tag
      prompts: Tag it.
      requires: [look]
      image: false
      output_field: tags
      structured_outputs: {json: {type: object, properties: {shape: {type: string}}}}
      quality: [{check: banned_words, banned: [cat], retry_prompt: Again., then: reject}]
      postprocess: []
openai:
  endpoints:
    - base_url: http://gpu:8000/v1
      api_key_env: OUR_API_KEY
      model: small
      headers: {X-Part: one}
      extra_body: {top_k: 5}
      requests_per_minute: 600
"""


def test_document_with_all_sections_reaches_the_workers_as_written(write: Write):
    config = load_job("feed", write(EVERYTHING)).config

    found = Broadcast.decode(broadcast(from_json(dump(config))).encode())

    look, tag = found.stages
    assert (look, tag) == config.stages()
    assert (look.postprocess, tag.postprocess) == (("trim", "full_stop"), ())
    assert [check.check for check in (*look.quality, *tag.quality)] == ["empty", "banned_words"]
    assert (tag.image, tag.requires) == (False, ("look",))
    assert found.openai == config.openai


def test_dump_is_read_from_a_file():
    Path("job.json").write_text(dump(JobConfig(port=5)))

    assert read_dump(Path("job.json")) == JobConfig(port=5)


def test_dump_that_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"^job\.json cannot be read"):
        read_dump(Path("job.json"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": "x"}', '{"zzz": 1}', b"\xff"])
def test_what_is_no_dump_is_refused(text: str | bytes):
    with pytest.raises(ConfigError, match=r"^These are no settings written by caption-flow"):
        from_json(text)


# What YAML can hold and JSON cannot, beside all that both can.
odd = st.dates() | st.binary(max_size=3) | st.floats() | st.integers() | st.text(max_size=5)
fields_of_all = {name for cls in SCHEMAS.values() for path in paths(cls) for name in path}
keys = st.sampled_from(
    [*sorted(fields_of_all), "orchestrator", "worker", "monitor", "name", "prompts", "requires"]
)
anything = st.recursive(
    st.none() | st.booleans() | odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys | st.integers() | st.none() | texts, inner, max_size=5)
    ),
    max_leaves=25,
)
documents = st.dictionaries(keys, anything, max_size=6)


@pytest.mark.parametrize("cls", [JobConfig, WorkerConfig, MonitorConfig])
@given(tree=documents | anything)
def test_any_data_is_either_taken_or_told(cls: type[Settings], tree: Any):
    made, mistakes = decode(cls, tree)

    assert (made is None) == bool(mistakes)


@here
@given(tree=documents | anything)
def test_any_document_is_either_taken_or_told(write: Write, tree: Any):
    try:
        path = write(yaml.safe_dump(tree, allow_unicode=False))
    except UnicodeEncodeError:
        return
    for load in (lambda: load_job("feed", path), lambda: load_worker(path)):
        assert told(load) != ""
    assert told(lambda: load_monitor(path)) != ""


WORDS = "a vllm stages ssl : - [ ] { } , &x *x <<: ? !!int !x 2024-13-45 0x 1:1.5 = ~ .nan 1e400"
MARKS = [": ", ":\n", "- ", "\n", "  ", "'", '"', "|\n", ">", "%", "---", "\t", "#", "\x00", "\x85"]
fragments = st.lists(st.sampled_from([*WORDS.split(), *MARKS]), max_size=25).map("".join)


@given(fragments | st.text())
def test_any_text_is_either_read_or_told(text: str):
    assert (told(lambda: parse(text, "x")) or "x").startswith("x")


@given(st.dictionaries(st.sampled_from(sorted(fields(JobConfig))), json, max_size=5))
def test_what_is_taken_can_always_be_dumped(tree: dict[str, Any]):
    made, _ = decode(JobConfig, tree)

    assert made is None or from_json(dump(made)) == made


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_any_variable_is_either_taken_or_told(variables: dict[str, str]):
    environ = {f"CAPTION_FLOW_{name}": text for name, text in variables.items()}

    sentence = told(lambda: load_job("feed", environ=environ))
    assert sentence is None or "CAPTION_FLOW_" in sentence


def test_structs_are_frozen():
    with pytest.raises(AttributeError):
        JobConfig().port = 5  # type: ignore[misc]


def test_dump_is_plain_json():
    assert msgspec.json.decode(dump(JobConfig()))["port"] == 8765
