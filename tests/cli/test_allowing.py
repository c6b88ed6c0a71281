"""`caption-flow worker`: what its operator allows a job of others, and says of the host."""

from typing import Any

import pytest
from click.testing import CliRunner

from caption_flow.cli import worker
from caption_flow.config import WorkerConfig


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Run the command up to where it would begin; gives its settings."""
    monkeypatch.chdir(tmp_path)
    seen: list[WorkerConfig] = []

    async def work(config: WorkerConfig, *_: Any) -> None:
        seen.append(config)

    monkeypatch.setattr(worker, "_work", work)

    def run(*flags: str) -> Any:
        answer = CliRunner().invoke(worker.command, flags)
        return seen[0] if seen else answer

    return run


def test_flags_are_the_settings_of_that_name(read: Any):
    config = read(
        *("--allow-model", "Qwen/*", "--allow-model", "org/name", "--allow-pickle"),
        *("--allow-endpoint", "https://api.example.com/v1 EXAMPLE_API_KEY"),
    )

    assert config.allow_models == ("Qwen/*", "org/name")
    assert config.allow_pickle is True
    assert config.allow_endpoints == ("https://api.example.com/v1 EXAMPLE_API_KEY",)


def test_what_cannot_be_meant_is_told(read: Any):
    answer = read("--allow-endpoint", "api.example.com")

    assert answer.exit_code != 0
    assert "allow_endpoints" in str(answer.exception or answer.output)


@pytest.mark.parametrize(("said", "dtype"), [("bf16", "bfloat16"), ("float16", "float16")])
def test_precision_is_how_vllm_computes_on_this_host(read: Any, said: str, dtype: str):
    assert read("--precision", said).vllm == {"dtype": dtype}


def test_without_a_precision_vllm_computes_as_the_job_says(read: Any):
    assert read("--name", "a").vllm == {}
