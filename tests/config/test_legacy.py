"""Documents of CaptionFlow 0.5 are taken as they are, with a word on what has changed."""

from typing import Any

import msgspec
import pytest

from caption_flow.config import (
    JobConfig,
    MonitorConfig,
    Sampling,
    WorkerConfig,
    load_job,
    load_monitor,
    load_worker,
)
from caption_flow.config.legacy import IGNORED, REFUSED
from caption_flow.errors import ConfigError
from tests.config.conftest import Write


def document(path: str, value: Any) -> str:
    """Write one key at a dotted path; a stage around it gets what it needs."""
    tree: Any = value
    for name in reversed(path.split(".")):
        tree = {name: tree}
        if name.endswith("[]"):
            [(key, item)] = tree.items()
            tree = {key.removesuffix("[]"): [{"name": "a", "prompts": ["?"]} | item]}
    return msgspec.json.encode(tree).decode()


@pytest.mark.parametrize("path", IGNORED["job"])
def test_key_without_meaning_draws_one_warning(write: Write, path: str):
    [warning] = load_job("feed", write(document(path, value=True))).warnings

    place = path.replace("[]", "[0]")
    assert warning == f"pipeline.yaml: {place} is left out: {IGNORED['job'][path]}"


@pytest.mark.parametrize("path", IGNORED["job"])
def test_key_without_meaning_changes_nothing(write: Write, path: str):
    loaded = load_job("feed", write(document(path, value=True)))

    assert loaded.config.vllm.engine_args == {}
    assert not any(stage.engine_args for stage in loaded.config.vllm.stages)


@pytest.mark.parametrize("path", IGNORED["worker"])
def test_key_of_a_worker_without_meaning_draws_one_warning(write: Write, path: str):
    loaded = load_worker(write(document(f"worker.{path}", value=1)))

    assert loaded.config == WorkerConfig()
    assert loaded.warnings == (
        f"pipeline.yaml: worker.{path} is left out: {IGNORED['worker'][path]}",
    )


@pytest.mark.parametrize("value", ["true", "false"])
def test_old_switch_for_vllm_in_a_worker_draws_one_warning(write: Write, value: str):
    loaded = load_worker(write(f"vllm: {value}"))

    assert loaded.config == WorkerConfig()
    assert loaded.warnings == (
        "pipeline.yaml: vllm is left out: every worker runs the engine of its job",
    )


def test_pane_that_the_monitor_has_not_draws_one_warning(write: Write):
    loaded = load_monitor(write("monitor: {show_chunk_progress: true, show_contributors: false}"))

    assert loaded.config == MonitorConfig(show_contributors=False)
    assert loaded.warnings == (
        "pipeline.yaml: monitor.show_chunk_progress is left out: the monitor has no such pane",
    )


@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize("path", REFUSED["job"])
def test_refused_key_that_is_off_is_passed_by(write: Write, path: str, value: bool | None):
    loaded = load_job("feed", write(document(path, value=value)))

    assert (loaded.config, loaded.warnings) == (JobConfig(), ())


@pytest.mark.parametrize("path", REFUSED["job"])
def test_refused_key_points_to_the_simulated_engine(write: Write, path: str):
    with pytest.raises(ConfigError, match=r'set "engine: simulated"$'):
        load_job("feed", write(document(path, value=True)))


def test_buffer_of_captions_is_the_rows_of_a_part(write: Write):
    loaded = load_job("sink", write("orchestrator: {storage: {caption_buffer_size: 7}}"))

    assert loaded.config.storage.rows_per_part == 7
    assert loaded.warnings == (
        "pipeline.yaml: orchestrator.storage.caption_buffer_size "
        'is called "rows_per_part" today and taken as that',
    )


def test_new_name_wins_over_the_old_one_beside_it(write: Write):
    path = write("storage: {caption_buffer_size: 7, rows_per_part: 8}")

    assert load_job("sink", path).config.storage.rows_per_part == 8


@pytest.mark.parametrize(
    ("value", "found"), [("true", {"mm_processor_cache_gb": 0}), ("false", {})]
)
def test_old_cache_switch_is_a_cache_of_nothing(write: Write, value: str, found: dict[str, int]):
    loaded = load_job("feed", write(f"vllm: {{disable_mm_preprocessor_cache: {value}}}"))

    assert loaded.config.vllm.engine_args == found
    assert len(loaded.warnings) == 1


def test_old_cache_switch_of_a_stage_is_taken_too(write: Write):
    path = write(document("vllm.stages[].disable_mm_preprocessor_cache", value=True))

    [stage] = load_job("feed", path).config.vllm.stages

    assert stage.engine_args == {"mm_processor_cache_gb": 0}


def test_stages_that_share_an_anchor_are_brought_up_to_date_each(write: Write):
    path = write(
        "vllm:\n  stages:\n"
        "  - &a {name: a, prompts: x, trust_remote_code: true}\n"
        "  - {<<: *a, name: b}\n"
    )

    assert len(load_job("feed", path).warnings) == 2


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("type: local", "folder"),
        ("type: local_filesystem", "folder"),
        ("type: folder", "folder"),
        ("type: huggingface", "huggingface"),
        ("type: webdataset", "webdataset"),
        ("type: of_mine", "of_mine"),
        ("processor_type: huggingface_datasets", "huggingface"),
        ("type: huggingface, processor_type: huggingface_webdataset", "webdataset"),
        ("processor_type: local_filesystem, type: huggingface", "folder"),
    ],
)
def test_kind_of_source_has_one_name(write: Write, written: str, kind: str):
    loaded = load_job("feed", write(f"dataset: {{{written}}}"))

    assert (loaded.config.dataset.type, loaded.warnings) == (kind, ())


def test_split_has_two_names(write: Write):
    config = load_job("feed", write("dataset: {dataset_split: train}")).config

    assert config.dataset.split == "train"


def test_version_was_a_label_and_chooses_no_revision(write: Write):
    loaded = load_job("feed", write("dataset: {version: 1.0}"))

    assert loaded.config == JobConfig()
    assert len(loaded.warnings) == 1


def test_path_is_the_older_word_for_the_path_of_a_data_set(write: Write):
    loaded = load_job("feed", write("dataset: {path: someone/pictures}"))

    assert loaded.config.dataset.dataset_path == "someone/pictures"
    assert loaded.warnings == (
        'pipeline.yaml: dataset.path is called "dataset_path" today and taken as that',
    )


def test_prompts_beside_stages_draw_one_warning(write: Write):
    path = write("vllm: {inference_prompts: [x], stages: [{name: a, prompts: y}]}")

    loaded = load_job("feed", path)

    assert [stage.prompts for stage in loaded.config.vllm.resolved_stages()] == [("y",)]
    assert loaded.warnings == (
        "pipeline.yaml: vllm.inference_prompts is not used: the stages have prompts of their own",
    )


def test_prompts_beside_an_empty_list_of_stages_are_used(write: Write):
    loaded = load_job("feed", write("vllm: {inference_prompts: [x], stages: []}"))

    assert [stage.prompts for stage in loaded.config.vllm.resolved_stages()] == [("x",)]
    assert loaded.warnings == ()


def test_empty_text_that_ends_a_caption_is_left_out_with_a_warning(write: Write):
    loaded = load_job("feed", write("vllm: {sampling: {stop: [x, '', y]}}"))

    assert loaded.config.vllm.sampling.stop == ("x", "y")
    assert loaded.warnings == (
        "pipeline.yaml: vllm.sampling.stop[1] is left out: an empty text ends no caption",
    )


def test_sampling_without_a_value_is_not_there(write: Write):
    stage = "{name: a, prompts: x, sampling: {max_tokens: , seed: }}"
    path = write(
        f"vllm: {{sampling: {{temperature: , top_k: , max_tokens: 9}}, stages: [{stage}]}}"
    )

    [only] = load_job("feed", path).config.vllm.resolved_stages()

    assert only.sampling == Sampling(max_tokens=9)


@pytest.mark.parametrize("written", ["stop: ", "stop: []"])
def test_stage_may_have_nothing_that_ends_a_caption(write: Write, written: str):
    path = write(f"vllm: {{stages: [{{name: a, prompts: x, sampling: {{{written}}}}}]}}")

    [only] = load_job("feed", path).config.vllm.resolved_stages()

    assert only.sampling.stop == ()


def test_list_and_mapping_without_a_value_are_empty(write: Write):
    path = write(
        "dataset: {shards: , options: }\nvllm: {stages: [{name: a, prompts: x, requires: }]}"
    )

    config = load_job("feed", path).config

    assert (config.dataset.shards, config.dataset.options) == ((), {})
    assert config.vllm.stages[0].requires == ()


@pytest.mark.parametrize(
    ("written", "travel"),
    [
        ("", "auto"),
        ("images: inline", "inline"),
        ("fetch: feeder", "inline"),
        ("fetch: worker", "reference"),
        ("fetch: worker, images: reference", "reference"),
        ("fetch: worker, images: auto", "reference"),
        ("fetch: null, images: reference", "reference"),
    ],
)
def test_who_fetches_may_be_said_in_the_older_way(write: Write, written: str, travel: str):
    config = load_job("feed", write(f"dataset: {{{written}}}")).config

    assert config.dataset.travel == travel


def test_certificate_has_two_places(write: Write):
    config = load_job("proxy", write("orchestrator: {ssl: {cert: a.pem, key: b.pem}}")).config

    assert config.tls == ("a.pem", "b.pem")


@pytest.mark.parametrize(
    ("written", "leaves", "hook"),
    [
        ("when_finished: stay_connected, post_exec_hook: x", False, None),
        ("when_finished: shutdown, post_exec_hook: x", True, None),
        ("when_finished: post_exec_hook, post_exec_hook: x", True, "x"),
        ("exit_when_done: true, post_exec_hook: [x, y]", True, ("x", "y")),
        ("exit_when_done: false, when_finished: shutdown", False, None),
    ],
)
def test_end_of_a_worker_may_be_said_in_the_older_way(
    write: Write, written: str, leaves: bool, hook: object
):
    config = load_worker(write(f"worker: {{{written}}}")).config

    assert (config.exit_when_done, config.hook) == (leaves, hook)


def test_operator_of_a_worker_may_trust_code_under_vllm(write: Write):
    loaded = load_worker(write("vllm: {trust_remote_code: true, dtype: half}"))

    assert loaded.config == WorkerConfig(trust_remote_code=True, vllm={"dtype": "half"})


def test_whole_older_document_is_taken(write: Write):
    path = write(
        """
orchestrator:
  host: 0.0.0.0
  port: 8765
  ssl: {cert: /a.pem, key: /b.pem}
  chunk_size: 500
  chunks_per_request: 1
  dataset:
    type: huggingface
    processor_type: huggingface_webdataset
    dataset_path: someone/something
    name: something
    version: "1.0"
  vllm:
    model: someone/model
    tensor_parallel_size: 1
    limit_mm_per_prompt: {image: 1}
    disable_mm_preprocessor_cache: true
    sampling: {temperature: 0.7, stop: ["<|end|>"]}
    inference_prompts: [One?, Two?]
  storage: {data_dir: ./caption_data, caption_buffer_size: 100}
  auth:
    worker_tokens: [{token: a, name: A}, {token: b, name: B}]
    admin_tokens: [{token: c, name: C}]
"""
    )

    loaded = load_job("orchestrator", path)

    [stage] = loaded.config.stages()
    assert stage.prompts == ("One?", "Two?")
    assert len(loaded.warnings) == 4


def test_one_file_may_hold_all_three_documents(write: Write):
    path = write(
        "redis: redis://x\n"
        "orchestrator: {port: 1}\n"
        "worker: {gpu_id: 1}\n"
        "monitor: {refresh_rate: 2}\n"
        "vllm: {model: m}\n"
    )

    job = load_job("run", path).config
    assert job == msgspec.structs.replace(
        JobConfig(), redis="redis://x", port=1, vllm=msgspec.structs.replace(job.vllm, model="m")
    )
    assert load_worker(path).config == WorkerConfig(redis="redis://x", gpu_id=1)
    assert load_monitor(path).config == MonitorConfig(redis="redis://x", refresh_rate=2.0)


def test_shared_key_of_a_worker_wins_over_the_one_beside_its_section(write: Write):
    path = write("redis: redis://all\nworker: {redis: redis://mine}")

    assert load_worker(path).config.redis == "redis://mine"
