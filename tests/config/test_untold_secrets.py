"""A secret is in no answer to a wrong document, wherever it stands there."""

import pytest

from caption_flow.config import load_job, load_worker
from caption_flow.errors import ConfigError
from tests.config.conftest import Write


@pytest.mark.parametrize(
    "text",
    [
        "redis: http://me:hush@host",
        "redis: me:hush@host",
        "redis: {hush: hush}",
        "key: [hush]",
        "auth: {worker_tokens: hush}",
        "auth: {worker_tokens: [hush]}",
        "auth: {worker_tokens: [{hush: someone}]}",
        "auth: {worker_tokens: [{name: x, token: [hush]}]}",
        "auth: {worker_tokens: [{name: x, token_sha256: hush}]}",
        "auth: {worker_tokens: [{name: x, token: !hush x}]}",
        "auth: {worker_tokens: [{name: x, token: *hush }]}",
        "auth: {worker_tokens: [{name: x, token: 'hush]}",
        "auth: {worker_tokens: [{name: x, token: hush: x}]}",
        "openai: {endpoints: [{base_url: x, headers: {X-Api-Key: [hush]}}]}",
        "vllm: {api_key: [hush, 2024-01-01, .nan]}",
        "vllm: {env: {password: .nan, 2024-01-01: hush}}",
        "engine: https://me:hush@host/x",
        "engine: https://me:hush/hush@host/x",
    ],
)
def test_secret_is_never_told(write: Write, text: str):
    with pytest.raises(ConfigError) as refused:
        load_job("feed", write(text))

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("text", ["token: [hush]", "server: http://x:hush@y", "server: hush"])
def test_secret_of_a_worker_is_never_told(write: Write, text: str):
    with pytest.raises(ConfigError) as refused:
        load_worker(write(text))

    assert "hush" not in str(refused.value)
