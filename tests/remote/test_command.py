"""`caption-flow worker`: which way it comes to its samples, and mistakes about that."""

from pathlib import Path

import pytest

from caption_flow.cli.worker import command
from caption_flow.cli.workplace import narrowed
from caption_flow.config import WorkerConfig
from caption_flow.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--server", "wss://x", "--token", "t", "--redis", "redis://x"],
            "Both a Redis and a server",
        ),
        ([], "--server URL"),
        (["--server", "wss://x"], "CAPTION_FLOW_TOKEN"),
        (["--server", "https://x", "--token", "t"], "wss://"),
        (["--server", "wss://a b", "--token", "t"], "wss://HOST:PORT"),
    ],
)
def test_mistake_is_told(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ConfigError, match=words):
        command.main(arguments, standalone_mode=False)


@pytest.mark.parametrize(
    ("wanted", "granted", "served"),
    [
        ((), (), ()),
        (("a",), (), ("a",)),
        ((), ("a", "b"), ("a", "b")),
        (("b", "c"), ("a", "b"), ("b",)),
    ],
)
def test_worker_serves_what_it_wants_and_may(
    wanted: tuple[str, ...], granted: tuple[str, ...], served: tuple[str, ...]
):
    assert narrowed(WorkerConfig(stages=wanted), granted).stages == served


def test_token_for_other_stages_is_told():
    with pytest.raises(ConfigError, match="the token is for a, b only"):
        narrowed(WorkerConfig(stages=("c",)), ("a", "b"))
