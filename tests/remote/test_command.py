"""`caption-flow worker`: which way it comes to its samples, and mistakes about that."""

import asyncio
from pathlib import Path

import pytest

from caption_flow.cli.worker import command
from caption_flow.cli.workplace import narrowed
from caption_flow.config import WorkerConfig
from caption_flow.errors import ConfigError
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import SettingsTold
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk
from tests.made import settings
from tests.remote.stub import StubProxy
from tests.roles import until

__all__ = ["desk"]


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


async def test_worker_whose_token_is_taken_back_ends_and_says_so(desk: Desk):
    async with StubProxy() as stub:
        server = ("--server", stub.url, "--token", "cf_secret")
        worker = desk.start("worker", *server)
        visit = await stub.visit()
        await visit.send(SettingsTold(1, settings().encode(), "", ("caption",)))
        await until(lambda: visit.serves)
        stub.refuse(401)
        await visit.wire.close(Close.UNAUTHORIZED, "It was taken back.")
        ended = await asyncio.to_thread(worker.wait)

    assert ended.code == 2, ended.words
    assert "does not accept the token any more" in ended.err
    assert "It was taken back." in ended.err
    assert "cf_secret" not in ended.words
