"""Consent: what a worker does for a job of others, and what of it is not for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.dataset import DownloadConfig
from caption_flow.config.quality import Check
from caption_flow.config.sampling import Sampling, SamplingChange
from caption_flow.config.schema import ImagesConfig, SimulatedConfig
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.worker.consent import MOST_PIXELS, MOST_REQUESTS
from caption_flow.worker.permitted import ARGUMENTS
from tests.made import settings
from tests.worker.consenting import MODEL, SERVER, consent, judged, stage

GOOD = Stage("good", MODEL, ("Tell.",), image=False)


def arguments(**given: Any) -> Stage:
    return stage(engine_args=given)


def sampled(**extra: Any) -> Stage:
    return stage(sampling=Sampling(extra=extra))


def formed(**form: Any) -> Stage:
    return stage(structured_outputs=StructuredOutputs(**form))


RETRIED = Check(check="empty", retry_sampling=(SamplingChange(extra={"n": 1000}),))

# A stage as strangers may send it -> what its refusal names.
HOSTILE: list[tuple[Stage, str]] = [
    # Models that are none of the hub's.
    (stage(model="/etc"), 'model is "/etc"'),
    (stage(model="./models/mine"), "model is"),
    (stage(model="../../home/user/secret"), "model is"),
    (stage(model="~/models/mine"), "model is"),
    (stage(model="models"), "model is"),
    (stage(model="org/.."), "model is"),
    (stage(model="org/name/../../x"), "model is"),
    (stage(model="s3://bucket/model"), "model is"),
    (stage(model="gs://bucket/model"), "model is"),
    (stage(model="https://evil.example/model"), "model is"),
    (stage(model="file:///models/mine"), "model is"),
    (stage(model="org/name.gguf"), "model is"),
    (stage(model="org/name:Q4_K_M"), "model is"),
    (stage(model="C:\\models"), "model is"),
    (stage(model=""), "model is empty"),
    (stage(model="org/na\nme"), "model is"),
    (stage(model="here/now"), "a path on this host"),
    # Arguments that name files, classes, hosts or other repositories.
    (arguments(model="/etc"), "vllm.model "),
    (arguments(model_weights="/tmp/x"), "vllm.model_weights"),
    (arguments(tokenizer="/home/user"), "vllm.tokenizer"),
    (arguments(hf_config_path="evil/config"), "vllm.hf_config_path"),
    (arguments(hf_overrides={"architectures": ["Evil"]}), "vllm.hf_overrides"),
    (arguments(hf_token="x"), "vllm.hf_token"),
    (arguments(download_dir="/etc/cron.d"), "vllm.download_dir"),
    (arguments(allowed_local_media_path="/"), "vllm.allowed_local_media_path"),
    (arguments(generation_config="/etc"), "vllm.generation_config"),
    (arguments(model_class_overrides={"A": "os:system"}), "vllm.model_class_overrides"),
    (arguments(code_revision="main"), "vllm.code_revision"),
    (arguments(revision="refs/pr/7"), "vllm.revision"),
    (arguments(revision="../../x"), "vllm.revision"),
    (arguments(worker_cls="evil.Worker"), "vllm.worker_cls"),
    (arguments(worker_extension_cls="evil.Worker"), "vllm.worker_extension_cls"),
    (arguments(scheduler_cls="evil.Scheduler"), "vllm.scheduler_cls"),
    (arguments(logits_processors=["evil:run"]), "vllm.logits_processors"),
    (arguments(io_processor_plugin="evil"), "vllm.io_processor_plugin"),
    (arguments(reasoning_parser_plugin="/tmp/x.py"), "vllm.reasoning_parser_plugin"),
    (arguments(structured_outputs_config={"reasoning_parser_plugin": "/x.py"}), "vllm.structured"),
    (arguments(speculative_config={"model": "evil/draft"}), "vllm.speculative_config"),
    (arguments(spec_model="evil/draft"), "vllm.spec_model"),
    (arguments(enable_lora=True), "vllm.enable_lora"),
    (arguments(default_mm_loras={"image": "/x"}), "vllm.default_mm_loras"),
    (arguments(compilation_config={"cache_dir": "/x"}), "vllm.compilation_config"),
    (arguments(additional_config={"x": 1}), "vllm.additional_config"),
    (arguments(kv_transfer_config={"kv_ip": "10.0.0.1"}), "vllm.kv_transfer_config"),
    (arguments(kv_events_config={"endpoint": "tcp://*:1"}), "vllm.kv_events_config"),
    (arguments(weight_transfer_config={"backend": "nccl"}), "vllm.weight_transfer_config"),
    (arguments(otlp_traces_endpoint="http://evil"), "vllm.otlp_traces_endpoint"),
    (arguments(master_addr="evil.example"), "vllm.master_addr"),
    (arguments(data_parallel_address="evil.example"), "vllm.data_parallel_address"),
    (arguments(distributed_executor_backend="ray"), "vllm.distributed_executor_backend"),
    (arguments(profiler_config={"torch_profiler_dir": "/x"}), "vllm.profiler_config"),
    (arguments(log_config_file="/x"), "vllm.log_config_file"),
    (arguments(mm_encoder_fp8_scale_save_path="/x"), "vllm.mm_encoder_fp8_scale_save_path"),
    (arguments(media_io_kwargs={"image": {"x": 1}}), "vllm.media_io_kwargs"),
    (arguments(mm_processor_kwargs={"processor_class": "evil"}), "vllm.mm_processor_kwargs"),
    (arguments(model_loader_extra_config={"x": 1}), "vllm.model_loader_extra_config"),
    (arguments(chat_template="/etc/passwd"), "vllm.chat_template"),
    (arguments(of_tomorrow=1), "vllm.of_tomorrow"),
    # Weights that may say what is to be run.
    (arguments(load_format="pt"), "vllm.load_format"),
    (arguments(load_format="npcache"), "vllm.load_format"),
    (arguments(load_format="gguf"), "vllm.load_format"),
    (arguments(load_format="tensorizer"), "vllm.load_format"),
    (arguments(load_format="runai_streamer"), "vllm.load_format"),
    (arguments(safetensors_load_strategy="torchao"), "vllm.safetensors_load_strategy"),
    # More of this host than is lent.
    (arguments(gpu_memory_utilization=1.0), "vllm.gpu_memory_utilization"),
    (arguments(kv_cache_memory_bytes=1 << 50), "vllm.kv_cache_memory_bytes"),
    (arguments(cpu_offload_gb=900), "vllm.cpu_offload_gb"),
    (arguments(mm_processor_cache_gb=900), "vllm.mm_processor_cache_gb"),
    (arguments(tensor_parallel_size=8), "vllm.tensor_parallel_size"),
    (arguments(max_num_seqs=10**9), "vllm.max_num_seqs"),
    (arguments(max_model_len=True), "vllm.max_model_len"),
    (arguments(runner="pooling"), "vllm.runner"),
    (sampled(n=10_000), "vllm.sampling.n"),
    (sampled(prompt_logprobs=20), "vllm.sampling.prompt_logprobs"),
    (sampled(extra_args={"kv_transfer_params": {}}), "vllm.sampling.extra_args"),
    (sampled(logit_bias={"1": "x"}), "vllm.sampling.logit_bias"),
    (sampled(repetition_detection={"max_pattern_size": 10**6}), "sampling.repetition_detection"),
    (stage(quality=(RETRIED,)), r"retry_sampling\[0\]\.n"),
    (formed(regex="a{1,99999}"), "structured_outputs.regex counts"),
    (formed(regex="(" * 70 + "a" + ")" * 70), "structured_outputs.regex nests"),
    (formed(grammar='root ::= "a"{' + "9" * 5000 + "}"), "structured_outputs.grammar counts"),
    (formed(json={"type": "array", "minItems": 10**9}), "structured_outputs.json has a minItems"),
    (formed(json={"type": "string", "pattern": "a{1,99999}"}), "structured_outputs.json has a pat"),
    # Names that would stand in logs and columns.
    (stage(name="bad\x1b[2J"), "name is"),
    (stage(output_field="a\nb"), "output_field is"),
]


@pytest.mark.parametrize(("hostile", "named"), HOSTILE, ids=[named for _, named in HOSTILE])
def test_a_stage_that_asks_too_much_is_declined_by_name_and_its_neighbour_served(
    hostile: Stage, named: str
):
    told = settings(engine="vllm", stages=(hostile, GOOD))

    followed, declined = judged(told, exists=lambda path: path == "here/now")

    assert list(declined) == [hostile.name]
    [why] = declined.values()
    assert why.isprintable()
    with pytest.raises(ConfigError, match=named):
        raise ConfigError(why)
    assert len(followed.stages) == 2


def test_the_same_stages_are_followed_as_they_are_on_redis():
    told = settings(engine="vllm", stages=(stage(model="/mine"), arguments(worker_cls="mine")))

    assert judged(told, server=None) == (told, {})


@pytest.mark.parametrize(
    "given",
    [
        {"max_model_len": 4096, "dtype": "bfloat16", "enforce_eager": True},
        {"limit_mm_per_prompt": {"image": 1, "video": 0}, "seed": 3},
        {"limit_mm_per_prompt": {"image": {"count": 1, "width": 512, "height": 512}}},
        {"mm_processor_kwargs": {"max_pixels": 1003520, "size": {"longest_edge": 768}}},
        {"quantization": "awq", "kv_cache_dtype": "fp8", "tensor_parallel_size": 1},
        {"gpu_memory_utilization": 0.9, "max_num_seqs": 64, "enable_prefix_caching": True},
        {"trust_remote_code": True, "revision": "main", "model_impl": "transformers"},
    ],
)
def test_what_sizes_and_shapes_is_followed(given: dict[str, Any]):
    followed, declined = judged(settings(engine="vllm", stages=(arguments(**given),)))

    assert declined == {}
    wanted = {name: value for name, value in given.items() if name != "trust_remote_code"}
    assert wanted.items() <= followed.stages[0].engine_args.items()


@pytest.mark.parametrize(
    ("said", "config", "made"),
    [
        ({}, {}, "safetensors"),
        ({"load_format": "auto"}, {}, "safetensors"),
        ({"load_format": "mistral"}, {}, "mistral"),
        ({}, {"allow_pickle": True}, None),
        ({"load_format": "pt"}, {"allow_pickle": True}, "pt"),
        ({"load_format": "tensorizer"}, {"vllm": {"load_format": "runai_streamer"}}, "safetensors"),
    ],
)
def test_weights_are_safetensors_unless_the_operator_says_otherwise(
    said: dict[str, Any], config: dict[str, Any], made: str | None
):
    followed, declined = judged(settings(engine="vllm", stages=(arguments(**said),)), **config)

    assert declined == {}
    assert followed.stages[0].engine_args.get("load_format") == made


@pytest.mark.parametrize(
    ("model", "revision", "allowed", "served"),
    [
        (MODEL, None, (), True),
        (MODEL, None, (MODEL,), True),
        (MODEL, None, ("Qwen/*",), True),
        (MODEL, None, ("Qwen/Other",), False),
        ("Qwen-evil/model", None, ("Qwen/*",), False),
        ("evil/Qwen", None, ("Qwen/*",), False),
        (MODEL, "abc", (), True),
        (MODEL, "abc", ("Qwen/*", MODEL), False),
        (MODEL, "abc", (f"{MODEL}@abc",), True),
        (MODEL, None, (f"{MODEL}@abc",), False),
    ],
)
def test_only_models_that_are_allowed_are_loaded(
    model: str, revision: str | None, allowed: tuple[str, ...], served: bool
):
    given = {} if revision is None else {"revision": revision}
    told = settings(engine="vllm", stages=(stage(model=model, engine_args=given),))

    _, declined = judged(told, allow_models=allowed)

    assert (declined == {}) is served


def test_a_model_that_the_operator_names_is_the_operators():
    told = settings(engine="vllm", stages=(stage(model="/of/the/job", engine_args={"seed": 1}),))

    assert judged(told, vllm={"model": "/models/mine"}, allow_models=("Qwen/*",))[1] == {}


def test_what_the_operator_sets_is_not_the_jobs_to_set():
    told = settings(engine="vllm", stages=(arguments(tokenizer="/x", gpu_memory_utilization=1.0),))

    followed, declined = judged(told, vllm={"tokenizer": "/y", "gpu_memory_utilization": 0.5})

    assert declined == {}
    assert not followed.stages[0].engine_args.keys() & {"tokenizer", "gpu_memory_utilization"}


def test_the_share_of_the_operator_is_for_all_engines_together():
    one = consent(vllm={"gpu_memory_utilization": 0.6, "seed": 1})

    assert one.overrides == {"seed": 1}
    assert one.overrides_of(2) == {"gpu_memory_utilization": 0.3, "seed": 1}
    assert consent(server=None, vllm={"gpu_memory_utilization": 0.6}).overrides_of(2) == {
        "gpu_memory_utilization": 0.6
    }


def test_two_stages_of_one_name_are_both_declined():
    told = settings(engine="vllm", stages=(stage(model="/etc"), stage()))

    assert "name stands twice" in judged(told)[1]["bad"]


@pytest.mark.parametrize("engine", ["vllm", "simulated"])
def test_images_too_large_for_this_host_are_declined_where_they_are_shown(engine: str):
    told = settings(
        engine=engine,
        stages=(stage(), GOOD),
        images=ImagesConfig(max_pixels=MOST_PIXELS + 1),
        max_file_size=1 << 40,
    )

    [(name, why)] = judged(told)[1].items()

    assert name == "bad"
    assert "images.max_pixels" in why
    assert "dataset.max_file_size" in why


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (settings(engine="evil", stages=(stage(),)), "engine is"),
        (settings(stages=(stage(),), simulated=SimulatedConfig(tokens=(0, 10**12))), "tokens"),
        (settings(stages=(formed(json={"type": "array", "minItems": 5000}),)), "items of the sim"),
    ],
)
def test_an_engine_that_would_not_do_here_is_declined(told: Broadcast, named: str):
    assert named in judged(told)[1]["bad"]


def test_what_costs_this_host_and_others_is_bounded():
    download = DownloadConfig(
        at_once=10**6, per_host=10**6, seconds=1e9, tries=10**6, redirects=10**6, user_agent="a\nb"
    )
    told = settings(batch_size=10**9, lease_seconds=1e-9, engine_timeout=1e-9, download=download)

    followed, declined = judged(told)

    assert declined == {}
    assert followed.batch_size == MOST_REQUESTS
    assert followed.lease_seconds > 0.1
    assert followed.engine_timeout > 1
    assert followed.download == DownloadConfig(seconds=600.0, tries=10, redirects=10)


def test_a_worker_that_runs_code_for_others_says_whose():
    with pytest.raises(ConfigError, match=r"^trust_remote_code .* allow_models"):
        WorkerConfig(server=SERVER, trust_remote_code=True)
    WorkerConfig(server=SERVER, trust_remote_code=True, allow_models=(MODEL,))
    WorkerConfig(trust_remote_code=True)


@pytest.mark.parametrize("name", ["Qwen*", "*", "Qwen/*/x", "a b/c", "/*"])
def test_a_model_that_cannot_be_meant_is_told(name: str):
    with pytest.raises(ConfigError, match=r"^allow_models holds .*ORG/\*"):
        WorkerConfig(allow_models=(name,))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
NAMES = st.sampled_from([*ARGUMENTS, "load_format", "model"]) | st.text(max_size=20)


@settings_of_hypothesis(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=2))
def test_whatever_is_sent_is_judged(given_args: dict[str, Any], extra: dict[str, Any]):
    bad = stage(engine_args=given_args, sampling=Sampling(extra=extra))

    followed, declined = judged(settings(engine="vllm", stages=(bad, GOOD)))

    assert "good" not in declined
    assert "\n" not in declined.get("bad", "")
    if declined:
        return
    args = followed.stages[0].engine_args
    assert args.keys() <= {*ARGUMENTS, "load_format"}
    assert args["load_format"] in {"safetensors", "mistral"}


def long_seed(digits: int) -> bytes:
    told = settings(engine="vllm", stages=(arguments(seed=0), GOOD))
    return told.encode().replace(
        b'"engine_args":{"seed":0', b'"engine_args":{"seed":' + b"9" * digits
    )


def test_numbers_of_any_length_are_read_and_judged():
    _, declined = judged(Broadcast.decode(long_seed(300)))

    assert "vllm.seed" in declined["bad"]
    with pytest.raises(CaptionFlowError):
        Broadcast.decode(long_seed(6000))
