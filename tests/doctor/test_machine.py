"""The doctor, on this machine and on the settings; and how it answers."""

import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from caption_flow.cli.doctor_report import show, sum_up
from caption_flow.config.sizes import MIB
from caption_flow.doctor.finding import Finding, told
from caption_flow.doctor.machine import open_files, python, shared_memory
from tests.certificates.pairs import DAY, pair
from tests.doctor.practice import Practice
from tests.e2e.desk import Desk
from tests.sink.disks import Disk, mounted


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "shm") as small:
        yield small


def test_bare_doctor_looks_at_this_machine(practice: Practice):
    report = practice.examine()

    states = {one["check"]: one["state"] for one in report.findings}
    assert states["python"] == states["open files"] == states["data dir"] == "ok"
    assert states["data set"] == states["packages"] == states["GPU"] == "skipped"
    assert report.code == 0
    assert all(one["said"] for one in report.findings)


def test_process_as_a_user_has_it_says_so_in_a_table(desk: Desk):
    """With too few files that it may open."""
    command = f"ulimit -n 200; exec {sys.executable} -m caption_flow doctor --role feed"
    done = subprocess.run(
        ["sh", "-c", command], cwd=desk.folder, capture_output=True, text=True, check=False
    )

    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    [place] = [n for n, line in enumerate(lines) if line[0] == "problem"]
    assert done.returncode == 1, done.stderr
    assert lines[place][1:3] == ["open", "files"]
    assert "may open 200 files, and these settings need about 320." in lines[place][3]
    assert "ulimit -n 320" in " ".join(lines[place + 1])
    assert "1 problem and no warnings" in done.stdout
    assert done.stderr == ""


def test_python_that_is_too_old_is_found():
    found = python((3, 10, 4), "Linux")

    assert found.said.startswith("Python 3.10.4 on Linux")
    assert found.cure == "Install Python 3.11 or later, and caption-flow."


def test_windows_is_found():
    assert "in WSL 2" in python((3, 12, 0), "Windows").cure


def test_proxy_that_may_raise_its_limit_has_enough(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1_048_576))

    assert open_files(64, connections=10_000).state == "ok"


def test_hard_limit_below_the_connections_of_a_proxy_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))

    found = open_files(64, connections=10_000)

    assert found.state == "warning"
    assert "may open 4,096 files at most, too few for the 10,000 connections" in found.said
    assert "only root raises" in found.cure


def test_shared_memory_that_nobody_has_set_is_found(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * MIB))

    assert shared_memory(1, disk.path).state == "warning"
    assert shared_memory(2, disk.path).state == "problem"


def test_shared_memory_that_is_too_small_is_found(disk: Disk):
    found = shared_memory(2, disk.path)

    assert found.state == "problem"
    assert "has 1.0 MiB free, through which the processes of vLLM talk." in found.said
    assert "docker run --shm-size 8g" in found.cure


def test_document_with_a_mistake_is_found(practice: Practice):
    (practice.folder / "orchestrator.yaml").write_text("chunk_sise: 5\n")

    said, cure = practice.examine().only("document", "problem")

    assert said == 'orchestrator.yaml has no field "chunk_sise"; did you mean "chunk_size"?'
    assert "docs/configuration.md" in cure


def test_document_of_old_words_is_a_warning(practice: Practice):
    (practice.folder / "job.yaml").write_text("orchestrator:\n  engine: simulated\n")

    report = practice.examine("--config", "job.yaml")

    assert report.code == 0
    assert all(one["cure"] for one in report.bad())


def test_two_ways_to_a_job_are_wrong_usage(practice: Practice):
    with pytest.raises(Exception, match="Both a Redis and a server") as raised:
        practice.examine("--redis", "redis://h", "--server", "wss://h", "--token", "t")

    assert raised.value.exit_code == 2


def test_role_that_there_is_not_is_wrong_usage(practice: Practice):
    with pytest.raises(click.UsageError) as raised:
        practice.examine("--role", "cook")

    assert raised.value.exit_code == 2


# Where a proxy listens


def examine_proxy(practice: Practice, *words: object):
    return practice.examine("--role", "proxy", "--set", "host=127.0.0.1", *words)


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [(-9 * DAY, -1 * DAY, "expired on"), (DAY, 9 * DAY, "is not valid before")],
)
def test_certificate_out_of_its_time_is_found(
    practice: Practice, begins: timedelta, ends: timedelta, words: str
):
    made = pair(practice.folder, begins=begins, ends=ends)

    report = examine_proxy(practice, "--set", f"cert={made.cert}", "--set", f"key={made.key}")

    said, cure = report.only("certificate", "problem")
    assert said.startswith(f"{made.cert} {words}")
    assert cure == "Renew it, or see whether the clock of this host is right."


def test_certificate_that_ends_soon_is_a_warning(practice: Practice):
    made = pair(practice.folder, ends=3 * DAY)

    report = examine_proxy(practice, "--set", f"cert={made.cert}", "--set", f"key={made.key}")

    said, cure = report.only("certificate", "warning")
    assert "is for localhost, 127.0.0.1, and good for 3 days." in said
    assert "caption-flow generate_cert" in cure


def test_proxy_without_tls_beyond_this_host_is_found(practice: Practice):
    said, cure = practice.examine("--role", "proxy").only("certificate", "problem")

    assert said == "The proxy would listen on 0.0.0.0, which others reach, without TLS."
    assert "caption-flow generate_cert makes a pair" in cure


def test_port_that_is_taken_is_found(practice: Practice):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        report = examine_proxy(practice, "--set", f"port={port}")

    said, cure = report.only("port", "warning")
    assert said == f"Something listens on port {port} of 127.0.0.1 already."
    assert "set another port" in cure


def test_port_for_metrics_that_is_taken_is_found(practice: Practice):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        report = practice.examine("--role", "sink", "--set", f"metrics_port={port}")

    said, cure = report.only("metrics port", "warning")
    assert said == f"Something listens on port {port} of 127.0.0.1 already."
    assert cure.startswith("If that is not a role of this job, end it")


def test_address_of_another_host_is_found(practice: Practice):
    report = practice.examine("--role", "proxy", "--set", "no_ssl=true", "--set", "host=192.0.2.1")

    said, cure = report.only("port", "problem")
    assert said == "This host has no address 192.0.2.1."
    assert "0.0.0.0" in cure


# What is said


def test_sentences_of_others_are_taken_apart():
    both = told("redis", "problem", "No answer from 10.0.0.1:6379. Is it up? Try.", "Else")
    one = told("redis", "warning", "It is a replica", "Point at the primary.")

    assert (both.said, both.cure) == ("No answer from 10.0.0.1:6379.", "Is it up? Try.")
    assert (one.said, one.cure) == ("It is a replica.", "Point at the primary.")


def test_names_of_strangers_move_no_cursor(capsys: pytest.CaptureFixture[str]):
    show([Finding("data set", "problem", "bad\x1b[2Jname.", "mend\x07 it.")])

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "bad\\x1b[2Jname." in out
    assert "mend\\x07 it." in out


def test_sum_counts_what_there_is():
    found = [Finding("a", "problem", "."), Finding("b", "ok", "."), Finding("c", "skipped", ".")]

    assert sum_up(found) == "1 problem and no warnings; 1 checks are fine, 1 were skipped."
