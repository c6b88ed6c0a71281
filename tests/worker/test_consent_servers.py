"""Consent to servers of others: which are asked, and with whose key."""

from typing import Any

import pytest

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.errors import ConfigError
from tests.made import settings
from tests.worker.consenting import ENDPOINT, judged, stage


def servers(*endpoints: Endpoint, model: str = "gpt") -> Broadcast:
    told = OpenaiConfig(endpoints=endpoints)
    return settings(engine="openai", stages=(stage(model=model),), openai=told)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com.evil.org/v1",
        "https://api.example.com:444/v1",
        "http://api.example.com/v1",
        "https://api.example.com/v2",
        "https://api.example.com/v1evil",
        "https://api.example.com/v1/../v2",
        "https://api.example.com/v1/%2e%2e/v2",
        "https://api.example.com\\.evil.org/v1",
        "https://evil.org/https://api.example.com/v1",
        "https://169.254.169.254/v1",
        "http://localhost:6379/v1",
    ],
)
def test_no_server_is_contacted_but_those_below_what_is_allowed(url: str):
    told = servers(Endpoint(base_url=url))

    followed, declined = judged(told, allow_endpoints=(ENDPOINT,))

    assert followed.openai.endpoints == ()
    assert "allow_endpoints" in declined["bad"]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (ENDPOINT, ENDPOINT),
        ("https://API.example.com:443/v1/", ENDPOINT),
        ("https://api.example.com/v1/deployments/x", "https://api.example.com"),
        ("http://localhost:8000/v1", "http://localhost:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/"),
    ],
)
def test_a_server_below_what_is_allowed_is_asked_without_a_key(url: str, allowed: str):
    followed, declined = judged(servers(Endpoint(base_url=url)), allow_endpoints=(allowed,))

    assert declined == {}
    [endpoint] = followed.openai.endpoints
    assert endpoint.api_key_env is None


def test_a_key_is_the_one_that_the_operator_names_for_the_server():
    told = servers(Endpoint(base_url=ENDPOINT, api_key_env="AWS_BEDROCK_API_KEY"))

    allowed = judged(told, allow_endpoints=(f"{ENDPOINT} EXAMPLE_API_KEY",))
    keyless = judged(told, allow_endpoints=(ENDPOINT,))

    assert allowed[1] == {}
    assert allowed[0].openai.endpoints[0].api_key_env == "EXAMPLE_API_KEY"
    assert "api_key_env" in keyless[1]["bad"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"headers": {"X-Spend": "all"}}, "headers"),
        ({"extra_body": {"tools": []}}, "extra_body.tools"),
        ({"extra_body": {"n": 128}}, "extra_body.n"),
        ({"model": "gpt-costly"}, "allow_models"),
    ],
)
def test_what_a_server_is_told_beside_is_declined(changes: dict[str, Any], named: str):
    told = servers(Endpoint(base_url=ENDPOINT, **changes))

    _, declined = judged(told, allow_endpoints=(ENDPOINT,), allow_models=("gpt",))

    assert named in declined["bad"]


def test_a_stage_goes_to_no_model_of_another():
    """The server of its model is refused; one of another model is not asked in its stead."""
    told = servers(
        Endpoint(base_url="https://evil.example/v1", model="gpt"),
        Endpoint(base_url=ENDPOINT, model="other"),
        Endpoint(base_url=ENDPOINT + "/any"),
    )

    _, declined = judged(told, allow_endpoints=(ENDPOINT,))

    assert "names the model" in declined["bad"]


@pytest.mark.parametrize(
    "text", ["api.example.com", "https://u:p@x/v1", f"{ENDPOINT} SECRET", "ws://x"]
)
def test_a_server_that_cannot_be_meant_is_told(text: str):
    with pytest.raises(ConfigError, match=r"^allow_endpoints holds .*API_KEY$"):
        WorkerConfig(allow_endpoints=(text,))
