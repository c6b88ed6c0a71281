"""Exports in processes of their own, forked one after another, that are killed at a step.

`python -m tests.export.dying` reads orders from its standard input, one a line, and answers each
with how its export ended. It imports everything once, since that takes far longer than a fork. A
step is whatever changes what stands on the disk under which name, or makes it durable.
"""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

import caption_flow.cli.export
import caption_flow.config.assemble  # noqa: F401 - before the forks, that it is done once
from caption_flow.cli.main import main
from caption_flow.export import drive

_STEPS = ("open", "mkdir", "fsync", "rename", "replace", "unlink", "rmdir")


class Order(Struct, frozen=True):
    """One export."""

    arguments: tuple[str, ...]
    step: int = 0  # at which it is killed, from 1; 0: at none


class End(Struct, frozen=True):
    """How it ended."""

    code: int
    steps: int  # that it came to


class Exports:
    """Where orders are given."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def run(self, *arguments: object, step: int = 0) -> End:
        """Let one export live."""
        order = Order(tuple(map(str, arguments)), step)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=End)


@contextmanager
def exports() -> Iterator[Exports]:
    """Start the process that they are forked from."""
    command = [sys.executable, "-m", "tests.export.dying"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Exports(process)
        assert process.stdin is not None
        process.stdin.close()


class _Fuse:
    """Counts steps, and kills at one."""

    def __init__(self, at: int, counted: int) -> None:
        self._left = at
        self._counted = counted

    def before(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(self._counted, b".")
            return step(*arguments, **named)

        return counted


def _live(order: Order) -> End:
    counted, count = os.pipe()
    child = os.fork()
    if child == 0:
        _export(order, count)
    os.close(count)
    with os.fdopen(counted, "rb") as dots:
        steps = len(dots.read())
    _, status = os.waitpid(child, 0)
    return End(os.waitstatus_to_exitcode(status), steps)


def _export(order: Order, count: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    fuse = _Fuse(order.step, count)
    for name in _STEPS:
        setattr(os, name, fuse.before(getattr(os, name)))
    sys.argv = ["caption-flow", "export", *order.arguments]
    try:
        main()
    except SystemExit as end:
        os._exit(int(end.code or 0))


def _serve() -> None:
    drive.SETTLE_SECONDS = 0.0
    pa.Table.from_pylist([{"id": "0"}])  # or each export would import pandas, for 0.2 s
    gc.freeze()  # or each fork would copy most of the memory
    for line in sys.stdin:
        sys.stdout.buffer.write(msgspec.json.encode(_live(msgspec.json.decode(line, type=Order))))
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
