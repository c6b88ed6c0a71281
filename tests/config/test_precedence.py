"""Flags win over variables, variables over the document, the document over defaults."""

from pathlib import Path

import pytest

from caption_flow.config import (
    JobConfig,
    StageConfig,
    StorageConfig,
    WorkerConfig,
    load_job,
    load_monitor,
    load_worker,
)
from caption_flow.errors import ConfigError
from tests.config.conftest import Write


def test_no_document_means_all_defaults():
    loaded = load_job("feed")

    assert loaded.config == JobConfig()
    assert loaded.path is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "orchestrator:\n", "storage:\n"])
def test_document_with_nothing_in_it_means_all_defaults(write: Write, text: str):
    loaded = load_job("feed", write(text))

    assert loaded.config == JobConfig()
    assert loaded.path == Path("pipeline.yaml")


def test_document_wins_over_default(write: Write):
    assert load_job("feed", write("port: 1")).config.port == 1


def test_variable_wins_over_document(write: Write):
    environ = {"CAPTION_FLOW_PORT": "2"}

    assert load_job("feed", write("port: 1"), environ=environ).config.port == 2


def test_flag_wins_over_variable(write: Write):
    environ = {"CAPTION_FLOW_PORT": "2"}

    assert load_job("feed", write("port: 1"), {"port": 3}, environ).config.port == 3


def test_one_key_of_a_section_leaves_its_neighbours(write: Write):
    path = write("storage: {data_dir: a, rows_per_part: 5}")

    storage = load_job("sink", path, {"storage.data_dir": "b"}).config.storage

    assert (storage.data_dir, storage.rows_per_part) == ("b", 5)


def test_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAPTION_FLOW_STORAGE__DATA_DIR", "x")

    assert load_job("sink").config.storage.data_dir == "x"


def test_variable_reaches_any_depth():
    environ = {"CAPTION_FLOW_VLLM__SAMPLING__TEMPERATURE": "0.2"}

    assert load_job("feed", environ=environ).config.vllm.sampling.temperature == 0.2


@pytest.mark.parametrize("text", ["123", "null", "true", "*abc", "a: b", "[x]", "2024-01-01"])
def test_variable_for_text_is_taken_as_it_is(text: str):
    assert load_worker(environ={"CAPTION_FLOW_TOKEN": text}).config.token == text


@pytest.mark.parametrize(
    ("text", "prompts"),
    [("What: this?", ("What: this?",)), ('["One?", "Two?"]', ("One?", "Two?"))],
)
def test_variable_for_a_list_of_texts_is_one_or_a_list(text: str, prompts: tuple[str, ...]):
    environ = {"CAPTION_FLOW_VLLM__INFERENCE_PROMPTS": text}

    assert load_job("feed", environ=environ).config.vllm.inference_prompts == prompts


def test_empty_variable_counts_as_not_set(write: Write):
    environ = {"CAPTION_FLOW_REDIS": ""}

    loaded = load_job("feed", write("redis: redis://x"), environ=environ)

    assert loaded.config.redis == "redis://x"


def test_null_leaves_out_what_may_be_left_out():
    environ = {"CAPTION_FLOW_IMAGES__MAX_SIDE": "null"}

    assert load_job("feed", environ=environ).config.images.max_side is None


def test_engine_argument_as_variable_is_read_as_yaml():
    environ = {"CAPTION_FLOW_VLLM__LIMIT_MM_PER_PROMPT__IMAGE": "1"}

    arguments = load_job("feed", environ=environ).config.vllm.engine_args

    assert arguments == {"limit_mm_per_prompt": {"image": 1}}


def test_variable_of_another_command_is_passed_by():
    assert load_job("feed", environ={"CAPTION_FLOW_GPU_ID": "1"}).config == JobConfig()


def test_shared_variable_is_for_all_documents():
    environ = {"CAPTION_FLOW_REDIS": "redis://x"}
    loads = (load_job("feed", environ=environ), load_worker(environ=environ))
    monitor = load_monitor(environ=environ)

    assert {loaded.config.redis for loaded in [*loads, monitor]} == {"redis://x"}


def test_engine_argument_as_variable_is_for_the_worker_too():
    environ = {"CAPTION_FLOW_VLLM__GPU_MEMORY_UTILIZATION": "0.5"}

    assert load_worker(environ=environ).config.vllm == {"gpu_memory_utilization": 0.5}


@pytest.mark.parametrize("path", ["MODEL", "SAMPLING__TEMPERATURE", "BATCH_SIZE"])
def test_variable_the_job_knows_by_name_is_not_the_workers(path: str):
    assert load_worker(environ={f"CAPTION_FLOW_VLLM__{path}": "1"}).config == WorkerConfig()


def test_variable_of_ours_is_passed_by():
    assert load_job("feed", environ={"CAPTION_FLOW_INTERNAL_X": "1"}).config == JobConfig()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CAPTION_FLOW_STORGE__DATA_DIR", "; did you mean CAPTION_FLOW_STORAGE__DATA_DIR?"),
        ("CAPTION_FLOW_PROT", "; did you mean CAPTION_FLOW_PORT?"),
        ("CAPTION_FLOW_VLLM__STAGES__0__NAME", "; did you mean CAPTION_FLOW_VLLM__STAGES?"),
    ],
)
def test_variable_of_no_setting_is_named_with_the_nearest(name: str, hint: str):
    with pytest.raises(ConfigError) as told:
        load_job("feed", environ={name: "1"})

    assert str(told.value) == f"{name} is the variable of no setting{hint}"


def test_mistake_in_a_variable_names_the_variable(write: Write):
    with pytest.raises(ConfigError) as told:
        load_job("feed", write("port: 1"), environ={"CAPTION_FLOW_PORT": "x"})

    expected = "expected a whole number from 0 to 65535"
    assert str(told.value) == f'CAPTION_FLOW_PORT: port is "x"; {expected}'


def test_mistake_in_a_flag_names_the_command_line(write: Write):
    with pytest.raises(ConfigError) as told:
        load_job("feed", write("storage: {data_dir: x}"), {"storage.nope": 1})

    assert str(told.value) == 'command line: storage has no field "nope"'


def test_old_name_in_a_flag_still_wins_over_the_document(write: Write):
    overrides = {"storage.caption_buffer_size": 7}

    loaded = load_job("sink", write("storage: {rows_per_part: 5}"), overrides)

    assert loaded.config.storage.rows_per_part == 7


def test_older_place_in_a_variable_still_wins_over_the_document(write: Write):
    environ = {"CAPTION_FLOW_SSL__CERT": "new.pem"}

    loaded = load_job("proxy", write("{cert: old.pem, key: k.pem}"), environ=environ)

    assert loaded.config.tls == ("new.pem", "k.pem")


def test_flag_that_was_not_given_changes_nothing(write: Write):
    assert load_job("feed", write("port: 1"), {"port": None}).config.port == 1


def test_empty_flag_clears_what_may_be_left_out(write: Write):
    path = write("ssl: {cert: a.pem, key: b.pem}")

    assert load_job("proxy", path, {"cert": "", "key": ""}).config.tls is None


def test_flags_may_be_paths_tuples_and_text():
    overrides = {
        "storage.data_dir": Path("x"),
        "vllm.inference_prompts": ("a", "b"),
        "port": "5",
    }

    config = load_job("run", overrides=overrides).config

    found = (config.storage.data_dir, config.vllm.inference_prompts, config.port)
    assert found == ("x", ("a", "b"), 5)


def test_home_folder_is_filled_in(desk: Path, write: Write):
    config = load_job("sink", write("storage: {data_dir: ~/captions}")).config

    assert config.storage.data_dir == str(desk / "home/captions")


def test_relative_path_stays_relative_to_the_current_folder(write: Write):
    config = load_job("sink", write("storage: {data_dir: captions}")).config

    assert config.storage.data_dir == "captions"


def test_key_without_a_value_leaves_its_default(write: Write):
    path = write("""
port:
storage: {rows_per_part: }
vllm: {stages: [{name: a, prompts: What?, output_field: , image: }]}
""")

    config = load_job("feed", path).config

    assert (config.port, config.storage) == (8765, StorageConfig())
    assert config.vllm.stages == (StageConfig(name="a", prompts=("What?",)),)


@pytest.mark.parametrize(("text", "read"), [("auto", "auto"), ("4", 4), ("0", 0)])
def test_variable_is_a_number_or_a_word_as_its_field_takes_both(text: str, read: int | str):
    environ = {"CAPTION_FLOW_PREPARERS": text}

    assert load_worker(environ=environ).config.preparers == read


@pytest.mark.parametrize("text", ["65", "-1", "true", "many", "[1]"])
def test_variable_that_is_neither_is_told(text: str):
    with pytest.raises(ConfigError, match='expected a whole number from 0 to 64 or "auto"'):
        load_worker(environ={"CAPTION_FLOW_PREPARERS": text})
