"""Imports `caption-flow`, and forks itself for each order on the standard input; see the package.

Answers on its standard output, and ends when there will be no more orders.
"""

import atexit
import gc
import os
import runpy
import selectors
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pkgutil import walk_packages
from typing import NoReturn

import msgspec
import pyarrow as pa

import caption_flow
import feeders
from tests.warm.orders import Ended, Start, Started

# These read variables as they are imported, of which each process has its own.
READERS = ("huggingface_hub", "opentelemetry.sdk.trace", "torch", "transformers", "vllm")


def warm_up() -> None:
    """Import what commands import, at once or as they work."""
    import uvloop  # noqa: F401, PLC0415 - as the commands do

    with without(READERS):
        for package in (caption_flow, feeders):
            for module in walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith("__main__"):
                    with passing_over(READERS):
                        import_module(module.name)
    pa.Table.from_pylist([{"id": "0"}])  # pyarrow imports pandas for that, where it is installed
    gc.freeze()


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """Let nothing import these, nor what needs them."""
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type] - so Python marks what is not there
    yield
    for name in names:
        del sys.modules[name]


@contextmanager
def passing_over(names: Sequence[str]) -> Iterator[None]:
    """Let an import fail that needs one of these, or a part of one; any other is a mistake."""
    try:
        yield
    except ImportError as exc:
        if not f"{exc.name}.".startswith(tuple(f"{name}." for name in names)):
            raise


def orders() -> Iterator[Start]:
    """Wait for orders and fork for each; answers with it in the child alone."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd:
                    waiting.unregister(key.fd)
                    bury(key.fd, key.data)
                elif not (line := sys.stdin.readline()):  # one at a time: each waits for an answer
                    return
                elif pid := os.fork():
                    waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                else:
                    for fd in filter(None, waiting.get_map()):
                        os.close(fd)
                    yield msgspec.json.decode(line, type=Start)


def bury(fd: int, pid: int) -> None:
    """Report a child that has ended."""
    os.close(fd)
    _, status = os.waitpid(pid, 0)
    answer(Ended(pid, os.waitstatus_to_exitcode(status)))


def answer(said: Started | Ended) -> None:
    os.write(1, msgspec.json.encode(said) + b"\n")


def become(start: Start) -> None:
    """Let this child be what was asked for, up to its first line of Python."""
    os.setsid()
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environ)
    sys.path[0] = start.folder
    sys.argv[1:] = start.arguments
    answers = os.dup(1)
    for path, to in ((os.devnull, 0), (start.out, 1), (start.err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, to)
        os.close(opened)
    os.write(answers, msgspec.json.encode(Started(os.getpid())) + b"\n")
    os.close(answers)


def end(code: object) -> NoReturn:
    """End as Python does, but for taking apart all that was imported: most of an end's time."""
    if not isinstance(code, int):
        sys.exit(code)
    threading._shutdown()  # as multiprocessing ends its own
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    warm_up()
    for start in orders():
        become(start)
        break
    else:
        sys.exit()
    try:
        runpy.run_module("caption_flow", run_name="__main__", alter_sys=True)
    except SystemExit as exc:
        end(exc.code)
