"""Wrong documents and what each is told: the path, the reason, and the nearest right key."""

import pytest

from caption_flow.config import load_job, load_monitor, load_worker
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

NAME = "expected letters, digits, dots, underscores and hyphens, at most 100"

# A document, and what is told after "pipeline.yaml".

MISSPELT = [
    (
        "stoarge: {data_dir: captions}",
        ' has no field "stoarge"; did you mean "storage"?',
    ),
    (
        "orchestrator: {dataset: {dataset_pth: photos}}",
        ': orchestrator.dataset has no field "dataset_pth"; did you mean "dataset_path"?',
    ),
    (
        "vllm: {modle: someone/vision}",
        ': vllm has no field "modle"; did you mean "model"?',
    ),
    (
        "vllm: {sampling: {temprature: 1}}",
        ': vllm.sampling has no field "temprature"; did you mean "temperature"?',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, output_feild: seen}]}",
        ': vllm.stages[0] has no field "output_feild"; did you mean "output_field"?',
    ),
    (
        "vllm: {stages: [{name: look, promts: What?}]}",
        ': vllm.stages[0] has no field "promts"; did you mean "prompts"?',
    ),
    (
        "vllm: {quality: [{check: empty, retry_sampling: [{max_token: 9}]}]}",
        ': vllm.quality[0].retry_sampling[0] has no field "max_token"; did you mean "max_tokens"?',
    ),
    (
        "vllm: {prompts: [What?]}",
        ': vllm has no field "prompts"; did you mean "inference_prompts"?',
    ),
    (
        "vllm: {guided_jsn: {}}",
        ': vllm has no field "guided_jsn"; did you mean "structured_outputs.json"?',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, sampling: {guided_jsn: {}}}]}",
        ': vllm.stages[0].sampling has no field "guided_jsn"; did you mean "guided_json"?',
    ),
    (
        "vllm: {stages: [{name: look, inference_prompts: What?}]}",
        ': vllm.stages[0] has no field "inference_prompts"; did you mean "prompts"?',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, output: seen}]}",
        ': vllm.stages[0] has no field "output"; did you mean "output_field"?',
    ),
    (
        "vllm: {structured_outputs: {schema: {type: object}}}",
        ': vllm.structured_outputs has no field "schema"; did you mean "json"?',
    ),
    (
        "openai: {endpoints: [{base_url: http://gpu:8000/v1, api_key: hush}]}",
        ': openai.endpoints[0] has no field "api_key"; did you mean "api_key_env"?',
    ),
]

MISPLACED = [
    (
        "orchestrator: {data_dir: captions}",
        ': orchestrator has no field "data_dir"; it belongs in storage',
    ),
    (
        "dataset: {chunk_size: 100}",
        ': dataset has no field "chunk_size"; it belongs at the top',
    ),
    (
        "vllm: {temperature: 0.2}",
        ': vllm has no field "temperature"; it belongs in vllm.sampling',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, max_tokens: 5}]}",
        ': vllm.stages[0] has no field "max_tokens"; it belongs in vllm.stages[0].sampling',
    ),
    (
        "vllm: {output_field: seen}",
        ': vllm has no field "output_field"; it belongs in vllm.stages[]',
    ),
    (
        "vllm: {retry_prompt: Again}",
        ': vllm has no field "retry_prompt"; it belongs in vllm.quality[]',
    ),
    (
        "openai: {base_url: http://gpu:8000/v1}",
        ': openai has no field "base_url"; it belongs in openai.endpoints[]',
    ),
    (
        "gpu_id: 0",
        ' has no field "gpu_id"; it belongs in a worker\'s document',
    ),
]

STAGES = [
    (
        "vllm: {stages: [{name: tag, prompts: Tag it., requires: look}, "
        "{name: loook, prompts: What?}]}",
        ': vllm.stages[0] ("tag") requires "look", which is no stage; did you mean "loook"?',
    ),
    (
        "vllm: {stages: [{name: a, prompts: x, requires: c}, {name: b, prompts: x, requires: a}, "
        "{name: c, prompts: x, requires: b}]}",
        ": vllm.stages require each other in a circle: a → c → b → a",
    ),
    (
        "vllm: {stages: [{name: look, prompts: x}, {name: tag, prompts: x}, "
        "{name: look, prompts: y}]}",
        ': vllm.stages[2].name is "look", like stages[0].name',
    ),
    (
        "vllm: {stages: [{prompts: What?}]}",
        ': vllm.stages[0] needs "name"',
    ),
    (
        "vllm: {stages: [{name: look, prompts: []}]}",
        ": vllm.stages[0].prompts is an empty list; expected a list that is not empty",
    ),
    (
        "vllm: {stages: {look: {prompts: What?}}}",
        ': vllm.stages is a mapping; expected a list; begin each item with "- "',
    ),
    (
        "vllm: {stages: [look]}",
        ': vllm.stages[0] is "look"; expected a section with "name" and "prompts"',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, output_field: what is seen}]}",
        f': vllm.stages[0].output_field is "what is seen"; {NAME}',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, image: sometimes}]}",
        ': vllm.stages[0].image is "sometimes"; expected true or false',
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, sampling: {max_tokens: 0}}]}",
        ": vllm.stages[0].sampling.max_tokens is 0; expected a whole number, 1 or more",
    ),
]

FORMS_AND_CHECKS = [
    (
        "vllm: {structured_outputs: {json: {type: object}, regex: a+}}",
        ": vllm.structured_outputs.regex must be given alone: one of json, choice, regex, grammar",
    ),
    (
        "vllm: {structured_outputs: {choise: [cat, dog]}}",
        ': vllm.structured_outputs has no field "choise"; did you mean "choice"?',
    ),
    (
        "vllm: {structured_outputs: {choice: 5}}",
        ": vllm.structured_outputs.choice is 5; expected a list",
    ),
    (
        "vllm: {quality: [{check: refusals}]}",
        ': vllm.quality[0].check is "refusals"; expected "empty", "too_short", "too_long", '
        '"cut_off", "refusal", "repetition", "echo", "banned_words" or "language"; '
        'did you mean "refusal"?',
    ),
    (
        "vllm: {quality: [{check: empty, then: flagged}]}",
        ': vllm.quality[0].then is "flagged"; expected "keep", "flag" or "reject"; '
        'did you mean "flag"?',
    ),
    (
        "vllm: {quality: [{check: empty, retries: -1}]}",
        ": vllm.quality[0].retries is -1; expected a whole number from 0 to 100",
    ),
    (
        "vllm: {quality: [{check: empty, retry_sampling: [{}, {temperature: -1}]}]}",
        ": vllm.quality[0].retry_sampling[1].temperature is -1; expected a number, 0 or more",
    ),
    (
        "vllm: {quality: {check: empty}}",
        ': vllm.quality is a mapping; expected a list; begin each item with "- "',
    ),
    (
        "vllm: {postprocess: [trim, strip_opening]}",
        ': vllm.postprocess[1] is "strip_opening"; expected "strip_openings", "trim", '
        '"collapse_whitespace" or "full_stop"; did you mean "strip_openings"?',
    ),
]

SERVERS = [
    (
        "engine: open_ai",
        ': engine is "open_ai"; expected "vllm", "openai" or "simulated"; did you mean "openai"?',
    ),
    (
        "openai: {endpoints: [{model: small}]}",
        ': openai.endpoints[0] needs "base_url"',
    ),
    (
        "openai: {endpoints: [{base_url: http://gpu:8000/v1, timeout: 2m}]}",
        ': openai.endpoints[0].timeout is "2m"; expected a number above 0',
    ),
    (
        "openai: {endpoints: [{base_url: http://gpu:8000/v1, requests_per_minute: 0}]}",
        ": openai.endpoints[0].requests_per_minute is 0; expected a whole number, 1 or more",
    ),
    (
        "openai: {endpoints: [{base_url: http://gpu:8000/v1, headers: {X-Part: 5}}]}",
        ": openai.endpoints[0].headers.X-Part is 5; expected text; put it in quotes",
    ),
    (
        "auth: {worker_tokens: [{name: Ada, tokn: hush}]}",
        ': auth.worker_tokens[0] has no field "tokn"; did you mean "token"?',
    ),
    (
        "vllm: {mock_results: true}",
        ": vllm.mock_results is not taken any more; "
        'for captions without a model, set "engine: simulated"',
    ),
]

BRACES = 'write "{{" and "}}" for braces that are meant as such'
PROMPTS = [
    (
        "vllm: {inference_prompts: 'What is {column:title?'}",
        ': vllm.inference_prompts[0] has a "{" without its "}", in "{column:title?"; ' + BRACES,
    ),
    (
        "vllm: {inference_prompts: 'What is {columm:title}?'}",
        ': vllm.inference_prompts[0] has "{columm:title}", where only "column" may stand before '
        f'the colon; did you mean "{{column:title}}"? If not, {BRACES}',
    ),
    (
        "vllm: {system_prompt: 'Be brief about {}.'}",
        f': vllm.system_prompt has "{{}}", which names nothing; {BRACES}',
    ),
    (
        "vllm: {stages: [{name: look, prompts: 'What of {tags}?'}, "
        "{name: tag, prompts: x, output_field: tags, requires: look}]}",
        ': vllm.stages[0].prompts[0] has {tags}, which only the later stage "tag" writes; '
        'put "tag" into requires, or write {column:tags} for a column of the data',
    ),
    (
        "vllm: {stages: [{name: look, prompts: [What?, '@detail.txt']}]}",
        ": vllm.stages[0].prompts[1] names the file detail.txt, which is not there; "
        'begin a text that has an @ itself with "@@"',
    ),
]

LADDERS = [
    (
        "vllm: {quality: [{check: too_short}]}",
        ': vllm.quality[0].check is "too_short", which needs words or characters',
    ),
    (
        "vllm: {quality: [{check: refusal, words: 5}]}",
        ': vllm.quality[0].words is for too_short and too_long, not for "refusal"',
    ),
    (
        "vllm: {quality: [{check: empty, retries: 0, retry_sampling: [{temperature: 1}]}]}",
        ": vllm.quality[0].retry_sampling is never used, as retries is 0",
    ),
    (
        "vllm: {quality: [{check: echo}, {check: echo}]}",
        ': vllm.quality[1].check is "echo", like quality[0].check',
    ),
]

FORMS = [
    (
        "vllm: {structured_outputs: {json: {type: objekt}}}",
        ': vllm.structured_outputs.json.type is "objekt"; expected one of array, boolean, '
        'integer, null, number, object, string; did you mean "object"?',
    ),
    (
        "vllm: {structured_outputs: {json: {type: object, properties: {model: {}}}}}",
        ': vllm.structured_outputs.json.properties.model is "model", '
        "the name of a column that every row has; choose another",
    ),
    (
        "vllm: {stages: [{name: look, prompts: x, output_field: seen}, {name: tag, prompts: x, "
        "structured_outputs: {json: {type: object, properties: {seen: {}}}}}]}",
        ": vllm.stages[1].structured_outputs.json.properties.seen becomes a column of the same "
        "name as stages[0].output_field; rename one of them",
    ),
    (
        "vllm: {stages: [{name: look, prompts: What?, output_field: sha256}]}",
        ': vllm.stages[0].output_field is "sha256", '
        "the name of a column that every row has; choose another",
    ),
    (
        "vllm: {response_format: json}",
        ': vllm.response_format is "json"; expected a mapping with a type',
    ),
]

ENDPOINTS = [
    (
        "openai: {endpoints: [{base_url: gpu:8000/v1}]}",
        ": openai.endpoints[0].base_url must be like http://localhost:8000/v1 or "
        "https://api.openai.com/v1",
    ),
    (
        "openai: {endpoints: [{base_url: http://gpu/v1, headers: {Authorization: hush}}]}",
        ": openai.endpoints[0].headers may not hold Authorization, a secret; "
        "name a variable in api_key_env instead",
    ),
]

OF_A_WORKER = [
    (
        "worker: {stages: [look, a tag]}",
        f': worker.stages[1] is "a tag"; {NAME}',
    ),
    (
        "worker: {stage: look}",
        ': worker has no field "stage"; did you mean "stages"?',
    ),
    (
        "worker: {vllm: {stages: []}}",
        ": worker.vllm.stages belongs in the job's document, not in a worker's",
    ),
    (
        "worker: {openai: {}}",
        ': worker has no field "openai"; it belongs in the job\'s document',
    ),
    (
        "when_finished: shut_down",
        ': when_finished is "shut_down"; expected "stay_connected", "shutdown" or '
        '"post_exec_hook"; did you mean "shutdown"?',
    ),
]

OF_THE_MONITOR = [
    (
        "monitor: {show_contributers: true}",
        ': monitor has no field "show_contributers"; did you mean "show_contributors"?',
    ),
]

OF_A_JOB = [
    *(*MISSPELT, *MISPLACED, *STAGES, *FORMS_AND_CHECKS, *SERVERS),
    *(*PROMPTS, *LADDERS, *FORMS, *ENDPOINTS),
]


@pytest.mark.parametrize(("document", "told"), OF_A_JOB)
def test_wrong_document_of_a_job_is_refused(write: Write, document: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(document))

    assert str(refused.value) == f"pipeline.yaml{told}"


@pytest.mark.parametrize(("document", "told"), OF_A_WORKER)
def test_wrong_document_of_a_worker_is_refused(write: Write, document: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_worker(write(document))

    assert str(refused.value) == f"pipeline.yaml{told}"


@pytest.mark.parametrize(("document", "told"), OF_THE_MONITOR)
def test_wrong_document_of_the_monitor_is_refused(write: Write, document: str, told: str):
    with pytest.raises(ConfigError) as refused:
        load_monitor(write(document))

    assert str(refused.value) == f"pipeline.yaml{told}"
