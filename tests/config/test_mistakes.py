"""What a wrong document is told: where, what stands there, what was expected."""

import pytest

from caption_flow.config import load_job, load_monitor, load_worker
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

WHOLE = "expected a whole number, 1 or more"

JOB = [
    # names
    ("prot: 1", 'pipeline.yaml has no field "prot"; did you mean "port"?'),
    ("zzz: 1", 'pipeline.yaml has no field "zzz"'),
    (
        "orchestrator: {prot: 1}",
        'pipeline.yaml: orchestrator has no field "prot"; did you mean "port"?',
    ),
    ("orchestrator: {}\nprot: 1", 'pipeline.yaml has no field "prot"; did you mean "port"?'),
    (
        "storage: {data_dri: x}",
        'pipeline.yaml: storage has no field "data_dri"; did you mean "data_dir"?',
    ),
    ("ssl: {certt: x}", 'pipeline.yaml: ssl has no field "certt"; did you mean "cert"?'),
    (
        "dataset: {dataset_splt: x}",
        'pipeline.yaml: dataset has no field "dataset_splt"; did you mean "dataset_split"?',
    ),
    (
        "vllm: {inference_promts: x}",
        'pipeline.yaml: vllm has no field "inference_promts"; did you mean "inference_prompts"?',
    ),
    (
        "vllm: {sampling: {temprature: 1}}",
        'pipeline.yaml: vllm.sampling has no field "temprature"; did you mean "temperature"?',
    ),
    (
        "vllm: {engine_args: {dtype: half}}",
        'pipeline.yaml: vllm has no field "engine_args"; write what is in it one level up',
    ),
    (
        "temperature: 1",
        'pipeline.yaml has no field "temperature"; it belongs in vllm.sampling',
    ),
    (
        "orchestrator: {inference_prompts: x}",
        'pipeline.yaml: orchestrator has no field "inference_prompts"; it belongs in vllm',
    ),
    (
        "dataset: {chunk_size: 5}",
        'pipeline.yaml: dataset has no field "chunk_size"; it belongs at the top',
    ),
    (
        "vllm: {stages: [{name: a, prompts: x, max_tokens: 5}]}",
        'pipeline.yaml: vllm.stages[0] has no field "max_tokens"; '
        "it belongs in vllm.stages[0].sampling",
    ),
    (
        "8765: x",
        "pipeline.yaml has the key 8765 that YAML does not read as text; put it in quotes",
    ),
    (
        "storage: {on: x}",
        "pipeline.yaml: storage has the key true that YAML does not read as text; put it in quotes",
    ),
    (
        "vllm: {compilation_config: {1: x}}",
        "pipeline.yaml: vllm.compilation_config has the key 1 that YAML does not read as text; "
        "put it in quotes",
    ),
    (
        "gpu_id: 0",
        'pipeline.yaml has no field "gpu_id"; it belongs in a worker\'s document',
    ),
    (
        "prompts: x",
        'pipeline.yaml has no field "prompts"; it belongs in vllm.stages[]',
    ),
    ("vllm: {modle: x}", 'pipeline.yaml: vllm has no field "modle"; did you mean "model"?'),
    (
        "vllm: {stages: [{nmae: a, prompts: x}]}",
        'pipeline.yaml: vllm.stages[0] has no field "nmae"; did you mean "name"?',
    ),
    (
        "vllm: {structured_outputs: {jsn: {}}}",
        'pipeline.yaml: vllm.structured_outputs has no field "jsn"; did you mean "json"?',
    ),
    # kinds
    (
        "openai: {endpoints: [{base_url: x, headers: {X-Part: 5}}]}",
        "pipeline.yaml: openai.endpoints[0].headers.X-Part is 5; expected text; put it in quotes",
    ),
    (
        "vllm: {quality: [refusal]}",
        'pipeline.yaml: vllm.quality[0] is "refusal"; expected a section with "check"; '
        'write {check: "refusal"}',
    ),
    ("- a", "pipeline.yaml is a list; expected keys with values"),
    ("words", 'pipeline.yaml is "words"; expected keys with values'),
    ("orchestrator: 5", "pipeline.yaml: orchestrator is 5; expected keys with values"),
    ("storage: 5", "pipeline.yaml: storage is 5; expected a section with keys of its own"),
    (
        "port: eighty",
        'pipeline.yaml: port is "eighty"; expected a whole number from 0 to 65535',
    ),
    (
        "orchestrator: {port: 1.5}",
        "pipeline.yaml: orchestrator.port is 1.5; expected a whole number from 0 to 65535",
    ),
    ("port: ''", "pipeline.yaml: port is empty; expected a whole number from 0 to 65535"),
    (
        "vllm: {inference_prompts: [{title}]}",
        "pipeline.yaml: vllm.inference_prompts[0] is a mapping; expected text; "
        "a colon or a brace makes it one: put the text in quotes",
    ),
    (
        "auth: {worker_tokens: [hush]}",
        "pipeline.yaml: auth.worker_tokens[0] is wrong (value not shown); "
        'expected a section with "name"',
    ),
    ("port: true", "pipeline.yaml: port is true; expected a whole number from 0 to 65535"),
    ("chunk_size: [1]", f"pipeline.yaml: chunk_size is [1]; {WHOLE}"),
    ("chunk_size: {a: 1}", f"pipeline.yaml: chunk_size is a mapping; {WHOLE}"),
    (
        'chunk_size: "5"',
        f'pipeline.yaml: chunk_size is "5"; {WHOLE}; '
        "to YAML it is text: leave out quotes, and write 0.001 for 1e-3",
    ),
    (
        "dataset: {recursive: 1}",
        "pipeline.yaml: dataset.recursive is 1; expected true or false",
    ),
    (
        "dataset: {revision: 1.0}",
        "pipeline.yaml: dataset.revision is 1.0; expected text; put it in quotes",
    ),
    (
        "dataset: {name: 2024-01-02}",
        "pipeline.yaml: dataset.name is the date 2024-01-02; expected text; put it in quotes",
    ),
    (
        "dataset: {dataset_split: 5}",
        "pipeline.yaml: dataset.dataset_split is 5; expected text; put it in quotes",
    ),
    (
        "vllm: {inference_prompts: [a, 5]}",
        "pipeline.yaml: vllm.inference_prompts[1] is 5; expected text; put it in quotes",
    ),
    (
        "vllm: {stages: {name: a}}",
        'pipeline.yaml: vllm.stages is a mapping; expected a list; begin each item with "- "',
    ),
    (
        "vllm: {sampling: {temperature: 1e-3}}",
        'pipeline.yaml: vllm.sampling.temperature is "1e-3"; expected a number, 0 or more; '
        "to YAML it is text: leave out quotes, and write 0.001 for 1e-3",
    ),
    (
        "vllm: {released: 2024-01-02}",
        "pipeline.yaml: vllm.released is the date 2024-01-02; expected text; put it in quotes",
    ),
    (
        "vllm: {postprocess: [trim, strip_opening]}",
        'pipeline.yaml: vllm.postprocess[1] is "strip_opening"; expected "strip_openings", "trim", '
        '"collapse_whitespace" or "full_stop"; did you mean "strip_openings"?',
    ),
    (
        "dataset: {images: Inline}",
        'pipeline.yaml: dataset.images is "Inline"; expected "auto", "inline" or "reference"; '
        'did you mean "inline"?',
    ),
    # ranges
    ("port: 65536", "pipeline.yaml: port is 65536; expected a whole number from 0 to 65535"),
    ("lanes: 65", "pipeline.yaml: lanes is 65; expected a whole number from 1 to 64"),
    ("max_attempts: 0", f"pipeline.yaml: max_attempts is 0; {WHOLE}"),
    ("lease_seconds: 0", "pipeline.yaml: lease_seconds is 0; expected a number above 0"),
    (
        "vllm: {sampling: {top_p: 1.5}}",
        "pipeline.yaml: vllm.sampling.top_p is 1.5; expected a number above 0, at most 1",
    ),
    ("lease_seconds: .inf", "pipeline.yaml: lease_seconds is inf; expected a finite number"),
    ("vllm: {x: .nan}", "pipeline.yaml: vllm.x is nan; expected a finite number"),
    (
        "vllm: {x: 9223372036854775808}",
        "pipeline.yaml: vllm.x is 9223372036854775808; expected a number of at most 63 bits",
    ),
    (
        "vllm: {inference_prompts: []}",
        "pipeline.yaml: vllm.inference_prompts is an empty list; expected a list that is not empty",
    ),
    (
        "job: my job",
        'pipeline.yaml: job is "my job"; '
        "expected letters, digits, dots, underscores and hyphens, at most 100",
    ),
    (
        "engine: vlm",
        'pipeline.yaml: engine is "vlm"; expected "vllm", "openai" or "simulated"; '
        'did you mean "vllm"?',
    ),
    (
        "dataset: {images: inline, fetch: worker}",
        'pipeline.yaml: dataset.images is "inline", but fetch is "worker"; keep one of them',
    ),
    (
        "dataset: {images: reference, fetch: feeder}",
        'pipeline.yaml: dataset.images is "reference", but fetch is "feeder"; keep one of them',
    ),
    (
        "dataset: {sample: 0%}",
        "pipeline.yaml: dataset.sample is 0.0; "
        'expected a share above 0, at most 1, such as 0.01 or "1%"',
    ),
    (
        "dataset: {sample: some}",
        'pipeline.yaml: dataset.sample is "some"; '
        'expected a share above 0, at most 1, such as 0.01 or "1%"',
    ),
    (
        "dataset: {allow_networks: 10.1.0.0/99}",
        'pipeline.yaml: dataset.allow_networks holds "10.1.0.0/99", which is no network '
        "('10.1.0.0/99' does not appear to be an IPv4 or IPv6 network); "
        'write one like "10.1.0.0/16", or a single address',
    ),
    (
        "dataset: {download: {tries: 0}}",
        f"pipeline.yaml: dataset.download.tries is 0; {WHOLE}",
    ),
    (
        "dataset: {sidecars: [xml]}",
        'pipeline.yaml: dataset.sidecars[0] is "xml"; expected "json" or "txt"',
    ),
    (
        "budget: {bytes: 5 parsecs}",
        'pipeline.yaml: budget.bytes is "5 parsecs"; '
        "expected a size above 0, such as 8MiB, or a number of bytes",
    ),
    (
        "storage: {data_dir: ''}",
        "pipeline.yaml: storage.data_dir is empty; expected text",
    ),
    (
        "simulated: {latency: 5}",
        "pipeline.yaml: simulated.latency is 5; "
        "expected two numbers, [lowest, highest], each 0 or more",
    ),
    # fields together
    (
        "simulated: {tokens: [5, 1]}",
        "pipeline.yaml: simulated.tokens has the highest first; write [lowest, highest]",
    ),
    ("cert: a", "pipeline.yaml: key is missing; a cert needs its key"),
    ("key: a", "pipeline.yaml: cert is missing; a key needs its cert"),
    ("vllm: {stages: [{prompts: x}]}", 'pipeline.yaml: vllm.stages[0] needs "name"'),
    (
        "vllm: {stages: [{name: a, prompts: x, requires: a}]}",
        "pipeline.yaml: vllm.stages require each other in a circle: a → a",
    ),
    (
        "orchestrator: {vllm: {stages: [{name: a, prompts: x, requires: b}]}}",
        'pipeline.yaml: orchestrator.vllm.stages[0] ("a") requires "b", which is no stage',
    ),
    (
        "auth: {worker_tokens: [{name: a}]}",
        "pipeline.yaml: auth.worker_tokens[0].token or token_sha256 must be given, and not both",
    ),
    (
        "orchestrator: {port: 1}\nport: 2",
        "pipeline.yaml: port stands inside of orchestrator and beside it; keep one of them",
    ),
    # older documents
    (
        "dataset: {mock_results: true}",
        "pipeline.yaml: dataset.mock_results is not taken any more; "
        'for captions without a model, set "engine: simulated"',
    ),
    (
        "storage: {caption_buffer_size: 0}",
        f"pipeline.yaml: storage.caption_buffer_size is 0; {WHOLE}",
    ),
]


WORKER = [
    (
        "worker: {batch_sise: 1}",
        'pipeline.yaml: worker has no field "batch_sise"; did you mean "batch_size"?',
    ),
    (
        "worker: {gpu_id: -1}",
        "pipeline.yaml: worker.gpu_id is -1; expected a whole number, 0 or more",
    ),
    (
        "when_finished: leave",
        'pipeline.yaml: when_finished is "leave"; '
        'expected "stay_connected", "shutdown" or "post_exec_hook"',
    ),
    (
        "when_finished: post_exec_hook",
        "pipeline.yaml: post_exec_hook is missing; when_finished asks for it",
    ),
    (
        "vllm: {sampling: {}}",
        "pipeline.yaml: vllm.sampling belongs in the job's document, not in a worker's",
    ),
    ("vllm: 5", "pipeline.yaml: vllm is 5; expected a mapping"),
    (
        "dataset: {}",
        'pipeline.yaml has no field "dataset"; it belongs in the job\'s document',
    ),
]

MONITOR = [
    ("refresh_rate: 0", "pipeline.yaml: refresh_rate is 0; expected a number above 0"),
    (
        "show_contributers: true",
        'pipeline.yaml has no field "show_contributers"; did you mean "show_contributors"?',
    ),
]


@pytest.mark.parametrize(("text", "told"), JOB)
def test_wrong_job_document_is_told_in_its_own_words(write: Write, text: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(text))

    assert str(refused.value) == told


@pytest.mark.parametrize(("text", "told"), WORKER)
def test_wrong_worker_document_is_told_in_its_own_words(write: Write, text: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_worker(write(text))

    assert str(refused.value) == told


@pytest.mark.parametrize(("text", "told"), MONITOR)
def test_wrong_monitor_document_is_told_in_its_own_words(write: Write, text: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_monitor(write(text))

    assert str(refused.value) == told


def test_all_mistakes_are_told_at_once(write: Write):
    path = write(
        "port: x\nprot: 1\nstorage: {rows_per_part: 0, data_dri: x}\n"
        "vllm: {stages: [{prompts: []}], mock_results: true}\n"
    )
    environ = {"CAPTION_FLOW_NOPE_NOPE": "1", "CAPTION_FLOW_HOST": "x", "CAPTION_FLOW_LANES": "65"}

    with pytest.raises(ConfigError) as refused:
        load_job("feed", path, {"chunk_size": 0}, environ)

    places = [" ".join(line.split(" ")[:2]) for line in str(refused.value).splitlines()]
    assert set(places) == {
        "pipeline.yaml: port",
        "pipeline.yaml has",
        "pipeline.yaml: storage.rows_per_part",
        "pipeline.yaml: storage",
        "pipeline.yaml: vllm.stages[0].prompts",
        "pipeline.yaml: vllm.stages[0]",
        "pipeline.yaml: vllm.mock_results",
        "CAPTION_FLOW_NOPE_NOPE is",
        "CAPTION_FLOW_LANES: lanes",
        "command line:",
    }


def test_long_value_is_cut(write: Write):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(f"engine: {'x' * 5000}"))

    assert len(str(refused.value)) < 200
