"""A real Redis for tests: started, killed and started again at will."""

import os
import shutil
import signal
import socket
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import Self

import redis

from tests import require

_CHECK = "redis-check-aof"
_HIGHEST_PORT = 55_535
_PATIENCE = 20.0  # seconds until a server must answer or be gone


class RedisServer:
    """One `redis-server` on a port of 127.0.0.1, its AOF under `directory`.

    Start, stop, kill and restart keep the port and the data, as an accident would. Before each
    start the AOF is mended, as the page on reliability asks for.
    """

    def __init__(self, directory: Path, *options: str, binary: str = "redis-server") -> None:
        require(shutil.which(binary), binary)
        require(shutil.which("redis-cli"), "redis-cli")
        require(shutil.which(_CHECK), _CHECK)
        self.directory = directory
        self.port = free_port()
        self.options = options  # as on the command line: "--maxmemory", "10mb"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @cached_property
    def client(self) -> redis.Redis:
        """A connection that is kept, where many questions are asked: each of `cli` is a process."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._mend()
        self._process = subprocess.Popen(
            [self._binary, *self._arguments(), *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End it in good order, with all data on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as the kernel would when memory runs out."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Start again on the same port with what the disk has kept."""
        if self.running:
            self.stop()
        return self.start()

    def cli(self, *args: object) -> str:
        """Answer of redis-cli, as it prints it to a pipe."""
        done = subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *map(str, args)],
            capture_output=True,
            check=True,
            timeout=_PATIENCE,
        )
        return done.stdout.decode(errors="replace").strip()

    def pause(self) -> None:
        """Let it answer nothing, while its connections stay."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _arguments(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "logfile": str(self.log),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _mend(self) -> None:
        """Take a torn transaction off the end of the AOF.

        A kill in the middle of a write leaves one. Redis leaves its beginning in the file, and at
        the next start reads what came later into it.
        """
        for manifest in self.directory.glob("appendonlydir/*.manifest"):
            subprocess.run([_CHECK, "--fix", manifest], input=b"y", check=True, capture_output=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"no Redis on port {self.port}:\n{self.log.read_text()}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as wire:
                wire.sendall(b"PING\r\n")
                # Under a password it answers NOAUTH, and is as ready.
                return wire.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if "client" in self.__dict__:
            self.client.close()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on; a cluster node needs the one 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port <= _HIGHEST_PORT and _is_free(port + 10_000):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
