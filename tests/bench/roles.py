"""Bench: the roles as processes, with the CPU seconds and peak memory of each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.redis_server import RedisServer

MIB = 1 << 20

# As the embedded server and compose.yaml have it: images only pass through, so that rewriting the
# AOF whenever it has doubled would write more than it saves, and compressing them saves nothing.
REDIS_OPTIONS = ("--auto-aof-rewrite-min-size", "512mb", "--rdbcompression", "no")


class Processes:
    """Roles of a job, measured when they end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str, module: str = "caption_flow") -> None:
        """Start `caption-flow ARGUMENTS`, or another program."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=log,
                stderr=log,
                cwd=self._logs,  # where no document lies that would be read
            )

    def failed(self) -> str | None:
        """Say what a role that has failed said of it."""
        for name, process in self._running.items():
            # WNOWAIT: what it used is read when it is waited for, and only once.
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            ended = os.waitid(os.P_PID, process.pid, how) if process.returncode is None else None
            if process.returncode or (ended and ended.si_status):
                return f"{name} failed: {(self._logs / f'{name}.log').read_text()}"
        return None

    def wait_until(self, condition: Callable[[], bool], seconds: float = 1800.0) -> None:
        """Wait for a condition while the roles run."""
        begun = time.monotonic()
        while not condition():
            failure = self.failed()
            if failure is None and time.monotonic() - begun > seconds:
                failure = "The job did not end in time."
            if failure:
                for process in self._running.values():
                    process.kill()
                raise SystemExit(failure)
            time.sleep(0.05)

    def wait_for(self, name: str) -> None:
        """Wait until this one has ended."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        self.wait_until(lambda: os.waitid(os.P_PID, self._running[name].pid, how) is not None)
        self._running.pop(name).wait()

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name."""
        return {name: process.pid for name, process in self._running.items()}

    def said(self, name: str) -> str:
        """What a role has said so far."""
        return (self._logs / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        """Ask all that run to end, and wait until they have ended well."""
        for process in self._running.values():
            os.kill(process.pid, signal.SIGTERM)  # not reaped: what it used is read in `wait`
        self.wait()

    def kill(self) -> None:
        """Kill all that run, and what they have started."""
        for process in self._running.values():
            if process.poll() is None:
                for pid in (*_below(process.pid), process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            process.wait()

    def wait(self) -> dict[str, dict[str, float]]:
        """Wait for all to end well; gives CPU seconds and peak MiB by name."""
        used = {}
        for name, process in self._running.items():
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if failure := self.failed():
                raise SystemExit(failure)
            used[name] = {
                "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
                "peak_mib": round(usage.ru_maxrss / 1024, 1),
            }
        return used


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [below for child in map(int, children) for below in (child, *_below(child))]


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def redis_use(server: RedisServer) -> dict[str, float]:
    """CPU seconds so far and peak memory of a server; memory as it counts it, and as seen."""
    told = info(server)
    status = Path(f"/proc/{redis_pid(server)}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return {
        "cpu_s": round(told["used_cpu_sys"] + told["used_cpu_user"], 2),
        "peak_mib": round(peak_kib / 1024, 1),
        "peak_data_mib": round(told["used_memory_peak"] / MIB, 1),
    }


def redis_pid(server: RedisServer) -> int:
    """The process of a server."""
    return int(info(server)["process_id"])


def info(server: RedisServer) -> dict[str, Any]:
    """What a server says of itself."""
    told: dict[str, Any] = server.client.info()
    return told


def captioned(server: RedisServer, job: str) -> int:
    """Samples of a job that are in a part."""
    return counted(server, job, "captioned")


def completed(server: RedisServer, job: str) -> int:
    """Samples of a job that have left their last stage."""
    return counted(server, job, "completed")


def counted(server: RedisServer, job: str, name: str) -> int:
    """One of the counts of a job."""
    answer: Any = server.client.hget(f"cf:{{{job}:0}}:counts", name)
    return int(answer or 0)


def worker_figures(server: RedisServer, job: str) -> dict[str, float]:
    """What the worker of a job has told of itself; nothing before it has."""
    words: Any = server.client.hvals(f"cf:{{{job}}}:members")
    members = [json.loads(word) for word in words]
    return next((m["figures"] for m in members if m["role"] == "worker"), {})
