"""Driven by other programs, which start commands, read what they say, and stop them."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caption_flow.grants import digest
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import SettingsTold
from tests.e2e.desk import Desk, Ended, Running, alive, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.e2e.runs import assert_complete, processes_in
from tests.proxy.client import RawClient
from tests.redis_server import RedisServer, free_port
from tests.roles import until

IN_TIME = 30.0  # seconds from a signal to the end of whatever got it
SIMULATED = settings(engine="simulated")
SLOW = (*SIMULATED, *settings(simulated__latency="[0.2, 0.3]", vllm__batch_size=4))
TOKEN = "a-token-of-ann"
READY = "Orchestrator ready for connections"
STOPPED = {"feed": 0, "worker": 0, "sink": 0, "orchestrator": 0, "run": 1}  # exit codes


@pytest.fixture
def at(redis_url: str) -> tuple[str, ...]:
    """Where a job is."""
    return ("--redis", redis_url, "--job", "j")


def lines_of(running: Running | Ended) -> list[dict[str, Any]]:
    """What it has told so far, all of which must be lines of JSON."""
    return [json.loads(line) for line in running.out.splitlines(keepends=True) if line[-1] == "\n"]


def hears_signals(running: Running) -> bool:
    """Whether it has a handler for SIGTERM, by what the kernel knows."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def start_each(desk: Desk, url: str, *, cold: bool = False) -> dict[str, Running]:
    """One process of each role."""
    draw(desk.folder / "photos", 3)
    at = ("--redis", url, "--job", "j")
    path = settings(dataset__dataset_path="photos")
    words = dict.fromkeys(STOPPED, (*path, *SIMULATED)) | {"worker": ()}
    return {role: desk.start(role, *at, *words[role], cold=cold) for role in STOPPED}


def stop(running: dict[str, Running], number: signal.Signals) -> tuple[dict[str, int], float]:
    """Stop them all at once; answers their codes and the seconds that took."""
    begun = time.monotonic()
    for one in running.values():
        one.signal(number)
    codes = {role: one.wait(IN_TIME).code for role, one in running.items()}
    return codes, time.monotonic() - begun


def test_program_that_drives_a_run_reads_lines_and_nothing_else(desk: Desk):
    draw(desk.folder / "photos", 12)

    done = desk.run("run", "photos", *SLOW, "--progress", "json")

    told = lines_of(done)
    first, last = told[0], told[-1]
    assert_complete(desk, "photos", done.words)
    assert done.code == 0
    assert (first["role"], first["state"], first["exit_code"]) == ("run", "starting", None)
    assert (last["state"], last["exit_code"], last["job"]) == ("done", 0, "photos")
    assert (last["planned"], last["captioned"], last["dead"], last["in_flight"]) == (12, 12, 0, 0)
    assert all(one.keys() == first.keys() for one in told)
    assert {"working"} < {one["state"] for one in told}
    assert len(told) >= done.seconds * 0.7
    assert "12 captions in" in done.err


def test_mistake_is_told_in_the_last_line(desk: Desk):
    done = desk.run("feed", "photos", "--progress=json", "--set", "chunk_sise=3")

    [*_, last] = lines_of(done)
    assert (done.code, last["exit_code"], last["state"]) == (2, 2, "failed")
    assert "chunk_sise" in last["detail"]


def test_roles_that_have_not_begun_end_at_once(desk: Desk, redis_url: str):
    """In the midst of their imports, which a warm one has done."""
    running = start_each(desk, redis_url, cold=True)
    for one in running.values():
        wait_until(lambda one=one: hears_signals(one), "a handler", every=0.002)
        one.signal(signal.SIGINT)

    ended = {role: one.wait(IN_TIME) for role, one in running.items()}
    assert {role: one.code for role, one in ended.items()} == STOPPED, ended
    assert processes_in(desk.folder) == []


def test_roles_end_while_redis_hangs_from_the_start(desk: Desk, own_server: RedisServer):
    own_server.pause()
    running = start_each(desk, own_server.url)
    for one in running.values():
        wait_until(lambda one=one: connections_to(own_server.port, one), "a connection")

    codes, seconds = stop(running, signal.SIGTERM)

    own_server.resume()
    assert codes == STOPPED
    assert seconds < IN_TIME / 2
    assert processes_in(desk.folder) == []


def connections_to(port: int, running: Running) -> bool:
    """Whether the process, or a child of it, is connected with a port of this host."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {words[9] for words in lines if words[2].endswith(f":{port:04X}")}
    mine = set(_sockets(running.pid))
    return bool(inodes & mine)


def _sockets(pid: int) -> Iterator[str]:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def test_all_that_work_end_while_redis_hangs_and_lose_nothing(
    desk: Desk, own_server: RedisServer, record_property: Callable[[str, object], None]
):
    images = draw(desk.folder / "photos", 24)
    at = ("--redis", own_server.url, "--job", "j")
    flags = (*SLOW, *settings(dataset__dataset_path="photos", lease_seconds=2))
    running = {
        "orchestrator": desk.start("orchestrator", *at, *flags),
        "worker": desk.start("worker", *at),
    }
    Job(own_server.url, "j").wait_for("completed", 4)

    own_server.pause()
    codes, seconds = stop(running, signal.SIGTERM)
    left = processes_in(desk.folder)
    record_property("stop_seconds", round(seconds, 1))
    own_server.resume()
    again = desk.run("run", *at, *flags)

    assert codes == {"orchestrator": 0, "worker": 0}
    assert seconds < IN_TIME
    assert left == []
    assert again.code == 0, again.words
    assert said(rows(desk.folder / "caption_data" / "j")) == sorted(digests(images).items())


def test_operator_pauses_resumes_and_drains(desk: Desk, redis_url: str, at: tuple[str, ...]):
    images, job = draw(desk.folder / "photos", 40), Job(redis_url, "j")
    flags = (*SLOW, *settings(dataset__dataset_path="photos", storage__rows_per_part=5))
    orchestrator = desk.start("orchestrator", *at, *flags, "--no-proxy")
    wait_until(lambda: READY in orchestrator.out or orchestrator.ended, READY)
    settings_were_there = job.cli("HGET", "cf:{j}:settings", "version")
    leaving = desk.start("worker", *at, "--name", "leaving", "--when_finished", "stay-connected")
    job.wait_for("completed", 2)

    said_first = [desk.run("pause", *at).out, desk.run("pause", *at).out]
    wait_until(lambda: not job.pending("samples:caption"), "rest")
    done = job.count("completed")
    staying = desk.start("worker", *at, "--name", "staying", "--progress", "json")
    wait_until(lambda: states(job) >= {"paused"} and len(lines_of(staying)) > 2, "a pause")
    paused = [desk.run("drain", *at, name) for name in ("nobody", "")]
    held = job.pending("samples:caption")
    drained = desk.run("drain", *at, f"{member(job, 'leaving')[:-2]}")
    left = leaving.wait(IN_TIME)
    still = job.count("completed")
    resumed = [desk.run("resume", *at).out, desk.run("resume", *at).out]
    job.wait_for("captioned", 40)
    told = lines_of(staying)
    stopped = [orchestrator.terminate(), staying.terminate()]

    assert orchestrator.out.splitlines().count(READY) == 1
    assert settings_were_there == "1"
    assert said_first[0].startswith("Paused: ")
    assert said_first[1].startswith("It is paused already, by ")
    assert held == {}
    assert (done, job.count("planned")) == (still, 40)
    assert "paused" in {one["state"] for one in told}
    assert [one.code for one in paused] == [2, 2]
    assert 'No worker of the job has a name that begins with "nobody"' in paused[0].err
    assert "2 names begin with" in paused[1].err
    assert (drained.code, left.code) == (0, 0), drained.words
    assert resumed[0].startswith("It goes on; it was paused by ")
    assert resumed[1] == "It was not paused.\n"
    assert [one.code for one in stopped] == [0, 0]
    assert said(rows(desk.folder / "caption_data" / "j")) == sorted(digests(images).items())


def states(job: Job) -> set[str]:
    return {one["state"] for one in job.members().values()}


def member(job: Job, label: str) -> str:
    return next(one["name"] for one in job.members().values() if label in one["name"])


def test_worker_ends_with_its_hook_when_it_is_stopped(desk: Desk, at: tuple[str, ...]):
    """After the job is done, but not when it is stopped before."""
    hook = ("--post_exec_hook", "echo $$ > hook.pid; sleep 1000")
    desk.run("feed", draw(desk.folder / "photos", 2), *at, *SLOW)
    resting = desk.start("worker", *at, "--when-finished", "stay_connected", *hook)
    wait_until(lambda: resting.ended or "Captioning with" in resting.err, "a worker")
    rested = resting.terminate()
    never = (desk.folder / "hook.pid").exists()
    working = desk.start("worker", *at, *hook, "--progress", "json")
    pid = int(wait_until(lambda: _text(desk.folder / "hook.pid"), "the hook"))
    ended = working.terminate()

    assert (rested.code, never) == (0, False)
    assert ended.code == 1
    assert "was stopped with us, and ended with code" in ended.err
    assert not alive(pid)
    assert lines_of(ended)[-1]["exit_code"] == 1
    assert [one for one in processes_in(desk.folder) if one != pid] == []


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


async def test_client_can_connect_as_soon_as_an_orchestrator_says_so(desk: Desk, redis_url: str):
    draw(desk.folder / "photos", 3)
    job, port = Job(redis_url, "photos"), free_port()
    (desk.folder / "orchestrator.yaml").write_text(example_with_a_proxy())
    listen = ("--no-ssl", "--port", port)
    running = desk.start("orchestrator", "--redis", redis_url, *SIMULATED, *listen)
    while READY not in running.out:
        assert not running.ended, running.err
        await asyncio.sleep(0.01)
    client = await RawClient.enter(f"ws://127.0.0.1:{port}", TOKEN)
    told = await client.hear(SettingsTold)
    [pid] = job.pids("proxy")
    at = ("--server", f"ws://127.0.0.1:{port}", "--token", TOKEN)
    worker = desk.start("worker", *at, "--name", "gpu0")
    job_at = ("--redis", redis_url, "--job", "photos")
    await until(lambda: job.count("captioned") == 3 and "ann/" in str(job.members()))
    drained = await asyncio.to_thread(desk.run, "drain", *job_at, f"ann/{socket.gethostname()}")
    left = await asyncio.to_thread(worker.wait)

    os.kill(pid, signal.SIGKILL)
    await until(lambda: job.pids("proxy") not in ([pid], []) and _accepts(port))
    again = await RawClient.enter(f"ws://127.0.0.1:{port}", TOKEN)
    await again.hear(SettingsTold)
    running.signal(signal.SIGTERM)
    code, _ = await again.closed()
    ended = await asyncio.to_thread(running.wait, IN_TIME)

    assert told.version == 1
    assert (drained.code, left.code) == (0, 0), (drained, left)
    assert code == Close.GOING
    assert ended.code == 0
    assert ended.out.splitlines().count(READY) == 1
    assert "does not end" not in ended.err


def example_with_a_proxy() -> str:
    """The example of an orchestrator, with the lines that it only tells of."""
    text = (Path(__file__).parents[2] / "examples" / "orchestrator.yaml").read_text()
    text, told = text.split("  # host: ")
    return text + f"  # host: {told}".replace("  # ", "  ").replace("0" * 64, digest(TOKEN))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_proxy_that_all_could_listen_to_is_refused_before_anything_is_fed(desk: Desk):
    draw(desk.folder / "photos", 1)
    document = desk.folder / "orchestrator.yaml"
    document.write_text("auth: {worker_tokens: [{name: ann, token: a-token-of-ann}]}\n")

    done = desk.run("orchestrator", *SIMULATED, *settings(dataset__dataset_path="photos"))

    assert done.code == 2
    assert "The proxy would listen on 0.0.0.0, which others reach, without TLS" in done.err
    assert not (desk.folder / "caption_data").exists()


def test_token_that_was_added_lets_in_as_one_of_the_document(desk: Desk, at: tuple[str, ...]):
    """So an orchestrator that is started again would listen, and must not without TLS."""
    desk.run("feed", draw(desk.folder / "photos", 1), *at, *SIMULATED)
    flags = (*at, *SIMULATED, *settings(dataset__dataset_path="photos"))
    alone = desk.start("orchestrator", *flags)
    wait_until(lambda: READY in alone.out or alone.ended, READY)
    nobody = alone.terminate()
    added = desk.run("auth", "add", "ann", *at)

    refused = desk.run("orchestrator", *flags)

    assert nobody.code == added.code == 0, added.words
    assert "No proxy is started, since nobody could come in" in nobody.err
    assert refused.code == 2
    assert "without TLS" in refused.err
