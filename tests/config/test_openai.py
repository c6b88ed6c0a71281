"""Endpoints as they may not be written."""

import pytest

from caption_flow.config import load_job
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.errors import ConfigError
from tests.config.conftest import Write

AT = "pipeline.yaml: openai.endpoints[0]"
KEY = "must be the name of an environment variable, in capitals and ending in API_KEY"
URL = "must be like http://localhost:8000/v1 or https://api.openai.com/v1"
HOST = "base_url: http://a/v1"

WRONG = [
    ("", f'{AT} needs "base_url"'),
    ("base_url: a.example/v1", f"{AT}.base_url {URL}"),
    ("base_url: ftp://a/v1", f"{AT}.base_url {URL}"),
    ("base_url: http:///v1", f"{AT}.base_url {URL}"),
    ('base_url: "http://a b/v1"', f"{AT}.base_url {URL}"),
    ("base_url: http://a:99999/v1", f"{AT}.base_url is no URL: Port out of range 0-65535"),
    ("base_url: http://me:secret@a/v1", f"{AT}.base_url must hold no user and password"),
    ("base_url: http://a/v1?key=secret", f"{AT}.base_url must end before the ? or #"),
    (
        "base_url: http://a/v1/chat/completions/",
        f"{AT}.base_url must end before /chat/completions",
    ),
    (f"{HOST}, api_key_env: sk-secret", f"{AT}.api_key_env {KEY}"),
    (f"{HOST}, api_key_env: HF_TOKEN", f"{AT}.api_key_env {KEY}"),
    (f"{HOST}, api_key_env: AWS_SECRET_ACCESS_KEY", f"{AT}.api_key_env {KEY}"),
    (f"{HOST}, api_key: secret", f'{AT} has no field "api_key"; did you mean "api_key_env"?'),
    (f"{HOST}, modle: a", f'{AT} has no field "modle"; did you mean "model"?'),
    (
        f"{HOST}, headers: {{Authorization: Bearer secret}}",
        f"{AT}.headers may not hold Authorization, a secret; name a variable in api_key_env",
    ),
    (f"{HOST}, headers: {{x-api-key: secret}}", f"{AT}.headers may not hold x-api-key, a secret"),
    (f"{HOST}, headers: {{Cookie: secret}}", f"{AT}.headers may not hold Cookie, a secret"),
    (f"{HOST}, headers: {{Host: b}}", f"{AT}.headers may not hold Host, which the program sets"),
    (f'{HOST}, headers: {{"a b": c}}', f"{AT}.headers holds a name that no header may have"),
    (f'{HOST}, headers: {{X-A: "b\\r\\nc"}}', f"{AT}.headers holds a value of X-A that is not"),
    (f"{HOST}, extra_body: {{messages: []}}", f"{AT}.extra_body may not hold messages"),
    (f"{HOST}, extra_body: {{stream: true}}", f"{AT}.extra_body may not hold stream"),
    (f"{HOST}, extra_body: {{model: a}}", f"{AT}.extra_body may not hold model"),
    (f"{HOST}, requests_per_minute: 0", f"{AT}.requests_per_minute is 0; expected"),
    (f"{HOST}, timeout: 0", f"{AT}.timeout is 0; expected"),
    (f"{HOST}, max_image_bytes: big", f'{AT}.max_image_bytes is "big"; expected a size'),
]


@pytest.mark.parametrize(("written", "told"), WRONG)
def test_wrong_endpoint_is_told_where_and_why(write: Write, written: str, told: str):
    path = write(f"openai: {{endpoints: [{{{written}}}]}}")

    with pytest.raises(ConfigError) as caught:
        load_job("feed", path, {})

    assert str(caught.value).startswith(told)
    assert "secret" not in str(caught.value).replace("a secret;", "")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("engine: openai", "openai.endpoints is empty; name a server there"),
        (
            f"engine: openai\nopenai: {{endpoints: [{{{HOST}}}]}}",
            'openai.endpoints has no model for the stage "caption"',
        ),
    ],
)
def test_job_of_such_servers_needs_them(write: Write, written: str, told: str):
    config = load_job("feed", write(written), {}).config

    with pytest.raises(ConfigError, match=f"^{told}"):
        config.stages()


def test_model_may_stand_at_the_endpoint_alone(write: Write):
    endpoints = f"openai: {{endpoints: [{{{HOST}, model: a}}]}}"
    config = load_job("feed", write(f"engine: openai\n{endpoints}"), {}).config

    assert [stage.model for stage in config.stages()] == [""]


def serving(model: str, *named: str | None) -> list[int]:
    endpoints = tuple(Endpoint(base_url=f"http://{n}/v1", model=m) for n, m in enumerate(named))
    config = OpenaiConfig(endpoints=endpoints)
    return [endpoints.index(endpoint) for endpoint in config.serving(model)]


@pytest.mark.parametrize(
    ("model", "named", "serve"),
    [
        ("a", [None, None], [0, 1]),
        ("a", ["a", "b", None], [0, 2]),
        ("c", ["a", "b", None], [0, 1, 2]),  # it is called so there
        ("", ["a", None], [0]),
    ],
)
def test_stage_goes_to_who_names_its_model(model: str, named: list[str | None], serve: list[int]):
    assert serving(model, *named) == serve
