"""The structs: what they keep to themselves, and how sizes are read."""

import pytest

from caption_flow.config import AuthConfig, JobConfig, Token, WorkerConfig, load_job
from caption_flow.config.sizes import parse_share, parse_size
from caption_flow.errors import ConfigError
from tests.config.conftest import Write


@pytest.mark.parametrize(
    "config",
    [
        JobConfig(redis="redis://:hush@x"),
        JobConfig(auth=AuthConfig(admin_tokens=(Token(name="a", token="hush"),))),
        WorkerConfig(token="hush", server="wss://a:hush@x"),
    ],
)
def test_repr_shows_no_secret(config: JobConfig | WorkerConfig):
    assert "hush" not in repr(config)


def test_repr_shows_what_is_no_secret():
    assert "port=8765" in repr(JobConfig())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("5B", 5),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("100MiB", 100 * 1024**2),
        ("1.5 GB", 1_500_000_000),
        ("2tib", 2 * 1024**4),
        (" 8mb ", 8_000_000),
    ],
)
def test_size_is_read_with_its_unit(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 M", "1e3", "1,5MB", "1MiBs", "9" * 400, "٣"])
def test_what_is_no_size_is_none(text: str):
    assert parse_size(text) is None


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), (" 100% ", 1.0), ("0%", 0.0)]
)
def test_share_is_read_in_percent(text: str, share: float):
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "1", "-1%", "1e2%", "1,5%", "9999%", "٣%"])
def test_what_is_no_share_is_none(text: str):
    assert parse_share(text) is None


@pytest.mark.parametrize("written", ["0.01", "1%", "'1 %'"])
def test_sample_takes_shares_and_percent(write: Write, written: str):
    config = load_job("feed", write(f"dataset: {{sample: {written}}}")).config

    assert config.dataset.sample == 0.01


@pytest.mark.parametrize("written", ["1048576", "1MiB", "'1 MiB'"])
def test_budget_takes_numbers_and_units(write: Write, written: str):
    config = load_job("feed", write(f"budget: {{bytes: {written}}}")).config

    assert config.budget.bytes == 1024 * 1024


@pytest.mark.parametrize("url", ["redis://x:1/0", "rediss://u:p@x", "unix:///tmp/redis.sock"])
def test_redis_may_be_reached_in_three_ways(write: Write, url: str):
    assert load_job("feed", write(f"redis: '{url}'")).config.redis == url


def test_token_may_be_given_as_its_hash(write: Write):
    config = load_job(
        "proxy", write(f"auth: {{feeder_tokens: [{{name: a, token_sha256: {'ab' * 32}}}]}}")
    ).config

    assert config.auth.feeder_tokens == (Token(name="a", token_sha256="ab" * 32),)


@pytest.mark.parametrize("given", [{}, {"token": "a", "token_sha256": "ab" * 32}])
def test_token_is_given_once(given: dict[str, str]):
    with pytest.raises(ConfigError, match="and not both"):
        Token(name="a", **given)


def test_empty_list_of_tokens_may_be_left_blank(write: Write):
    assert load_job("proxy", write("auth:\n  worker_tokens:\n")).config == JobConfig()


def test_one_text_stands_for_a_list_of_one(write: Write):
    config = load_job("feed", write("dataset: {sidecars: txt}")).config

    assert config.dataset.sidecars == ("txt",)


def test_images_need_not_be_shrunk(write: Write):
    assert load_job("feed", write("images: {max_side: null}")).config.images.max_side is None


def test_anchors_and_merges_are_read(write: Write):
    path = write(
        "vllm:\n  sampling: &s {temperature: 0.1, top_p: 0.2}\n"
        "  stages: [{name: a, prompts: x, sampling: {<<: *s, top_p: 0.3}}]\n"
    )

    [stage] = load_job("feed", path).config.vllm.resolved_stages()

    assert (stage.sampling.temperature, stage.sampling.top_p) == (0.1, 0.3)
