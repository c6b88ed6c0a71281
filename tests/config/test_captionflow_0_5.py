"""Whole documents as users of CaptionFlow 0.5 have them: each means here what it meant there."""

from pathlib import Path

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
from caption_flow.config.legacy import IGNORED
from caption_flow.config.proxy import AuthConfig, Token
from caption_flow.config.schema import Kind

FOLDER = Path(__file__).parent / "captionflow_0_5"
ENDS = ("<|end|>", "<|endoftext|>", "<|im_end|>")


def left_out(kind: Kind, section: str, *keys: str) -> list[str]:
    """The warnings of keys that mean nothing any more."""
    outer = f"{section}." if section else ""
    return [f"{outer}{key} is left out: {IGNORED[kind][key]}" for key in keys]


def taken_as(key: str, name: str) -> str:
    return f'{key} is called "{name}" today and taken as that'


NO_SWITCH = "vllm is left out: every worker runs the engine of its job"
NO_PANE = "is left out: the monitor has no such pane"
ENDS_NOTHING = "is left out: an empty text ends no caption"

WARNINGS: list[tuple[Kind, str, list[str]]] = [
    (
        "job",
        "hub_links",
        [
            *left_out(
                *("job", "orchestrator"),
                *("chunks_per_request", "chunk_buffer_multiplier", "min_chunk_buffer"),
                *("dataset.version", "storage.checkpoint_interval", "storage.checkpoint_dir"),
                *("storage.job_buffer_size", "storage.contributor_buffer_size"),
            ),
            taken_as("orchestrator.storage.caption_buffer_size", "rows_per_part"),
            taken_as("orchestrator.vllm.disable_mm_preprocessor_cache", "mm_processor_cache_gb"),
        ],
    ),
    (
        "job",
        "folder",
        [
            *left_out(
                *("job", "orchestrator", "dataset.http_bind_address", "dataset.http_port"),
                *("dataset.public_address", "dataset.local_storage_path"),
            ),
            taken_as("storage.caption_buffer_size", "rows_per_part"),
            f"orchestrator.vllm.sampling.stop[1] {ENDS_NOTHING}",
        ],
    ),
    (
        "job",
        "tars",
        [
            *left_out(
                *("job", "orchestrator", "websocket_ping_interval", "websocket_ping_timeout"),
                *("cache_dir", "shard_cache_gb", "dataset.metadata_path"),
                *("dataset.shard_cache_gb", "dataset.buffer_size", "dataset.split_worker_cache"),
                "storage.checkpoint_interval",
            ),
            taken_as("orchestrator.vllm.disable_mm_preprocessor_cache", "mm_processor_cache_gb"),
        ],
    ),
    (
        "job",
        "stages",
        [
            *left_out("job", "", "storage.checkpoint_dir"),
            "orchestrator.vllm.inference_prompts is not used: the stages have prompts of their own",
        ],
    ),
    (
        "job",
        "two_models",
        [
            taken_as(
                "orchestrator.vllm.stages[1].disable_mm_preprocessor_cache",
                "mm_processor_cache_gb",
            )
        ],
    ),
    ("job", "all_in_one", left_out("job", "orchestrator", "vllm.trust_remote_code")),
    (
        "job",
        "first",
        [
            *left_out("job", "orchestrator", "backpressure_threshold", "dataset.version"),
            taken_as("orchestrator.dataset.path", "dataset_path"),
        ],
    ),
    (
        "worker",
        "all_in_one",
        [*left_out("worker", "worker", *IGNORED["worker"]), f"worker.{NO_SWITCH}"],
    ),
    (
        "worker",
        "worker",
        [*left_out("worker", "worker", *IGNORED["worker"]), f"worker.{NO_SWITCH}"],
    ),
    ("worker", "flat_worker", [NO_SWITCH]),
    ("monitor", "all_in_one", [f"monitor.show_chunk_progress {NO_PANE}"]),
    (
        "monitor",
        "monitor",
        [f"monitor.show_quality_metrics {NO_PANE}", f"monitor.show_chunk_map {NO_PANE}"],
    ),
]

LOADERS = {
    "job": lambda path: load_job("orchestrator", path),
    "worker": load_worker,
    "monitor": load_monitor,
}


@pytest.mark.parametrize(
    ("kind", "name", "expected"), WARNINGS, ids=[f"{name}-{kind}" for kind, name, _ in WARNINGS]
)
def test_document_is_taken_with_one_warning_per_key_that_has_changed(
    kind: Kind, name: str, expected: list[str]
):
    path = FOLDER / f"{name}.yaml"

    warnings = LOADERS[kind](path).warnings

    assert sorted(warnings) == sorted(f"{path}: {warning}" for warning in expected)


def test_each_document_is_loaded():
    assert {path.stem for path in FOLDER.iterdir()} == {name for _, name, _ in WARNINGS}


def job(name: str) -> JobConfig:
    return load_job("orchestrator", FOLDER / f"{name}.yaml").config


def worker(name: str) -> WorkerConfig:
    return load_worker(FOLDER / f"{name}.yaml").config


def monitor(name: str) -> MonitorConfig:
    return load_monitor(FOLDER / f"{name}.yaml").config


def test_links_on_the_hub_are_the_same_rows_prompts_and_tokens():
    config = job("hub_links")

    [stage] = config.stages()
    dataset = config.dataset
    assert (dataset.type, dataset.dataset_path) == ("huggingface", "someone/links-to-paintings")
    assert (dataset.dataset_config, dataset.split) == ("default", "train")
    assert (dataset.dataset_url_column, dataset.revision) == ("picture_url", None)
    assert (config.chunk_size, config.vllm.batch_size) == (500, 8)
    assert (stage.prompts, stage.output_field) == (config.vllm.inference_prompts, "captions")
    assert stage.sampling == Sampling(stop=ENDS)
    assert stage.engine_args == {
        "tensor_parallel_size": 1,
        "max_model_len": 16384,
        "dtype": "float16",
        "gpu_memory_utilization": 0.92,
        "enforce_eager": True,
        "mm_processor_cache_gb": 0,
        "limit_mm_per_prompt": {"image": 1},
    }
    assert config.storage.rows_per_part == 100
    assert config.auth == AuthConfig(
        worker_tokens=(
            Token(name="Card in the cellar", token="a-worker"),
            Token(name="Card in the attic", token="b-worker"),
        ),
        monitor_tokens=(Token(name="Whoever looks", token="a-look"),),
        admin_tokens=(Token(name="Whoever decides", token="an-admin"),),
    )


def test_folder_is_read_as_it_was_and_sampled_without_the_empty_stop():
    config = job("folder")

    [stage] = config.stages()
    assert (config.dataset.type, config.dataset.max_file_size) == ("folder", 50 * 1024 * 1024)
    assert config.dataset.dataset_path == str(Path("~/photos").expanduser())
    assert config.tls is None
    assert (stage.sampling.temperature, stage.sampling.max_tokens) == (0.3, 1024)
    assert stage.sampling.stop == ("<|end|>", "<|im_end|>")
    assert stage.engine_args["mm_processor_cache_gb"] == 0
    assert [token.name for token in config.auth.worker_tokens] == ["First"]


def test_tars_are_read_as_they_were_and_empty_sampling_is_the_default():
    config = job("tars")

    [stage] = config.stages()
    assert (config.dataset.type, config.dataset.cache_dir) == ("webdataset", "./tar_cache")
    assert config.tls == ("/etc/caption/fullchain.pem", "/etc/caption/privkey.pem")
    assert stage.prompts == ("Describe it in one sentence.",)
    assert stage.sampling == Sampling(max_tokens=512, stop=())
    assert stage.engine_args == {"tensor_parallel_size": 2}
    assert config.auth == AuthConfig()


def test_stages_run_after_what_they_require():
    people, place, summary = job("stages").stages()

    assert (people.name, place.name, summary.name) == ("people", "place", "summary")
    assert people.prompts == ("What is in this photo?", "Who would like it?")
    assert (people.output_field, place.output_field) == ("notes", "notes")
    assert people.sampling == Sampling(temperature=0.6, max_tokens=300, stop=())
    assert summary.sampling == Sampling(temperature=0.2, max_tokens=300, stop=ENDS)
    assert {stage.model for stage in (people, place, summary)} == {"someone/vision-7b"}


def test_each_stage_has_its_own_model_arguments_and_sampling():
    look, check, shorten = job("two_models").stages()
    of_all = {"gpu_memory_utilization": 0.5, "max_num_batched_tokens": 16384}

    models = (look.model, check.model, shorten.model)
    assert models == ("someone/vision-7b", "someone/vision-32b", "someone/text-1b")
    assert (look.output_field, check.output_field) == ("captions", "checked")
    assert look.engine_args == shorten.engine_args == of_all
    assert check.engine_args == of_all | {
        "tensor_parallel_size": 2,
        "max_model_len": 32768,
        "dtype": "bfloat16",
        "gpu_memory_utilization": 0.9,
        "mm_processor_cache_gb": 0,
    }
    common = Sampling(top_p=0.9, repetition_penalty=1.1)
    assert look.sampling == shorten.sampling == common
    assert (check.sampling.temperature, check.sampling.max_tokens) == (0.1, 1024)
    assert check.sampling.top_p == 0.9


def test_data_set_of_the_first_releases_is_found():
    dataset = job("first").dataset

    assert (dataset.type, dataset.dataset_path) == ("huggingface", "someone/drawings")
    assert (dataset.name, dataset.revision) == ("drawings", None)


def test_file_for_all_commands_is_read_by_each():
    assert job("all_in_one").dataset.type == "folder"
    assert worker("all_in_one") == WorkerConfig(
        server="ws://localhost:8765", token="mine", name="here", gpu_id=0
    )
    assert monitor("all_in_one") == MonitorConfig(
        server="ws://localhost:8765", token="to-look", refresh_rate=0.5
    )


def test_worker_joins_the_same_server_and_runs_its_hook():
    config = worker("worker")

    assert (config.server, config.token) == ("wss://captions.example.com:8765", "a-worker")
    assert (config.gpu_id, config.batch_size, config.verify_ssl) == (1, 4, False)
    assert (config.exit_when_done, config.hook) == (True, "shutdown now")


def test_worker_without_a_section_is_the_same():
    assert worker("flat_worker") == WorkerConfig(
        server="ws://192.168.0.10:8765", token="b-worker", when_finished="stay_connected"
    )


def test_monitor_looks_as_often_and_shows_as_much():
    assert monitor("monitor") == MonitorConfig(
        server="wss://captions.example.com:8765",
        token="a-look",
        refresh_rate=2.0,
        show_throughput_graph=False,
        max_activity_items=50,
    )
