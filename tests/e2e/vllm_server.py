"""vLLM's own server with the shapes model, on a CPU."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.e2e.shapes import ONE_PROCESS, SHAPES

LOADING = 180.0  # seconds
# The model has learnt no JSON, and would put spaces into it without end.
_COMPACT = '{"backend": "xgrammar", "disable_any_whitespace": true}'


class VllmServer:
    """`vllm serve`; all its processes end with it."""

    key = "sk-of-the-test"
    model = "shapes"

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = folder / "vllm.log"
        self._home = folder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(SHAPES / "model"), "--served-model-name", self.model),
            *("--host", "127.0.0.1", "--port", str(self.port), "--api-key", self.key),
            *("--max-model-len", "512", "--gpu-memory-utilization", "0.1", "--enforce-eager"),
            *("--structured-outputs-config", _COMPACT),
            *("--distributed-executor-backend", ONE_PROCESS["distributed_executor_backend"]),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"HOME": str(self._home), "HF_HUB_OFFLINE": "1"},
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + LOADING
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False
