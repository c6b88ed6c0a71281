"""The embedded Redis: it starts, keeps its data and never outlives its owner."""

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from caption_flow.errors import QueueUnfit, QueueUnreachable
from caption_flow.queue import embedded
from caption_flow.queue.binaries import packaged_binary
from caption_flow.queue.connect import check_server, connect
from caption_flow.queue.embedded import EmbeddedRedis, running_url
from tests import require
from tests.queue.embedding import (
    alive,
    binary,
    client,
    directory,
    other_run,
    process_of,
    wait_until,
)

__all__ = ["binary", "directory"]


async def test_server_is_fit_without_a_warning(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server:
        async with connect(server.url, role="test") as connections:
            assert not (await check_server(connections.commands)).warnings


def test_socket_is_the_only_door_and_behind_a_private_folder(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        assert redis.config_get("port")["port"] == "0"
        assert directory.stat().st_mode & 0o777 == 0o700


def test_images_are_not_compressed_when_the_file_is_rewritten(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        assert redis.config_get("rdbcompression")["rdbcompression"] == "no"


def test_stopped_server_is_gone_and_its_data_is_not(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        redis.xadd("s", {"a": "b"})
        pid = process_of(server.url)
    assert not Path(f"/proc/{pid}").exists()

    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        assert redis.xlen("s") == 1


@pytest.mark.parametrize("name", ['it\'s a "dir" #1?', "été %41", "x" * 120])
def test_directory_may_have_any_name(tmp_path: Path, binary: Path, name: str):
    with EmbeddedRedis(tmp_path / name / ".redis", binary=binary) as server:
        assert running_url(tmp_path / name / ".redis") == server.url

        assert process_of(server.url)


def test_long_directory_has_its_socket_in_a_short_private_folder(tmp_path: Path, binary: Path):
    with EmbeddedRedis(tmp_path / ("x" * 120), binary=binary) as server:
        socket = Path(unquote(urlsplit(server.url).path))

        assert len(os.fsencode(socket)) < 104
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


def test_folder_of_somebody_else_gets_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a temp folder anybody may have made it, as a link to where they can listen."""
    long = tmp_path / ("x" * 120)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    trap = embedded._socket_of(long.resolve()).parent
    trap.rmdir()
    trap.symlink_to(tmp_path)

    with pytest.raises(QueueUnfit, match="is not ours"):
        EmbeddedRedis(long).start()


def test_server_ends_with_its_killed_owner(directory: Path, binary: Path):
    with other_run(directory, binary) as owner:
        assert owner.owned
        pid = process_of(running_url(directory))
        owner.kill()

        wait_until(lambda: not alive(pid))


def test_data_of_a_killed_owner_is_kept(directory: Path, binary: Path):
    """And the next run, begun at once, waits for the old server instead of adopting it."""
    with other_run(directory, binary) as owner:
        assert owner.owned
        with client(running_url(directory)) as redis:
            for number in range(1000):
                redis.xadd("s", {"number": number})
        owner.kill()

        with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
            assert server.owned
            assert redis.xlen("s") == 1000


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(directory: Path, binary: Path):
    with other_run(directory, binary) as owner:
        assert owner.owned

        # The terminal sends it to all processes of the group.
        assert os.getpgid(process_of(running_url(directory))) != os.getpgid(owner.process.pid)


def test_server_that_was_killed_is_started_anew(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server:
        lost = process_of(server.url)
        os.kill(lost, signal.SIGKILL)

        server.start()

        assert process_of(server.url) != lost


def test_remains_of_a_dead_server_are_no_obstacle(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server:
        os.kill(process_of(server.url), signal.SIGKILL)
    assert (directory / "redis.sock").exists()

    with EmbeddedRedis(directory, binary=binary) as server:
        assert server.owned


def test_unreadable_record_is_no_obstacle(directory: Path, binary: Path):
    directory.mkdir()
    (directory / "server.json").write_text('{"socket": ')

    with EmbeddedRedis(directory, binary=binary) as server:
        assert running_url(directory) == server.url


def test_cut_end_of_the_aof_loads(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        redis.xadd("s", {"a": "kept"})
        redis.xadd("s", {"a": "cut"})
    [aof] = (directory / "appendonlydir").glob("*.incr.aof")
    aof.write_bytes(aof.read_bytes()[:-3])

    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        assert redis.xlen("s") == 1


def test_what_follows_a_torn_transaction_is_not_read_into_it(directory: Path, binary: Path):
    """A crash cuts the AOF within one; it is what comes after the next start that is at risk."""
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        redis.eval("redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)", 0)
    [aof] = (directory / "appendonlydir").glob("*.incr.aof")
    aof.write_bytes(aof.read_bytes()[: -len("1\r\n*1\r\n$4\r\nEXEC\r\n") - 2])
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        redis.set("after", "the crash")

    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        assert redis.get("after") == "the crash"
        assert redis.get("a") is None


def test_spoilt_aof_is_answered_with_the_words_of_the_log(directory: Path, binary: Path):
    with EmbeddedRedis(directory, binary=binary) as server, client(server.url) as redis:
        redis.set("a", "b")
    [aof] = (directory / "appendonlydir").glob("*.incr.aof")
    aof.write_bytes(b"spoilt" + aof.read_bytes())

    with pytest.raises(QueueUnreachable, match=r"(?s)ended with 1.*Bad file format"):
        EmbeddedRedis(directory, binary=binary).start()


def test_failed_start_leaves_nothing_held(directory: Path, binary: Path):
    (directory / "appendonlydir").mkdir(parents=True)
    manifest = directory / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("spoilt")
    with pytest.raises(QueueUnreachable):
        EmbeddedRedis(directory, binary=binary).start()
    manifest.unlink()

    with EmbeddedRedis(directory, binary=binary) as server:
        assert server.owned


def test_data_stays_with_the_flavour_that_wrote_it(directory: Path):
    """A Redis that is installed later must not be given the files of a newer Valkey."""
    packaged = packaged_binary()
    require(packaged and shutil.which("redis-server"), "both servers")
    with EmbeddedRedis(directory, binary=packaged):
        pass

    with EmbeddedRedis(directory) as server, client(server.url) as redis:
        assert redis.info("server")["server_name"] == "valkey"


def test_old_server_is_refused(directory: Path, tmp_path: Path):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)

    with pytest.raises(QueueUnfit, match="is no Redis 7"):
        EmbeddedRedis(directory, binary=old).start()


def test_place_where_nothing_can_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(QueueUnfit, match="Let us write there"):
        EmbeddedRedis(tmp_path / "file" / ".redis").start()


def test_directory_without_a_server_has_no_url(directory: Path):
    assert running_url(directory) is None
    with pytest.raises(QueueUnreachable, match="No Redis was started"):
        _ = EmbeddedRedis(directory).url
