"""Lifecycle: asked once a process drains, asked again it goes; and what is cancelled ends."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from caption_flow.lifecycle import EXIT_FORCED, TWICE_SECONDS, Drain, cancel, to_its_end
from tests.roles import until

# Says each signal that it was sent, and never ends by itself.
PROCESS = """
import asyncio
import sys
from caption_flow.lifecycle import Drain

async def main() -> None:
    drain = Drain()
    drain.on_signals()
    if "asked" in sys.argv:
        drain.ask()
    print("ready", flush=True)
    await drain.wait()
    while True:
        print("draining", flush=True)
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


@contextmanager
def draining(number: signal.Signals, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that was sent its first signal, and drains."""
    command = [sys.executable, "-c", PROCESS, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "draining\n"
        try:
            yield process
        finally:
            process.kill()


def goes_on(process: "subprocess.Popen[str]") -> bool:
    """Whether it drains on, a while after what was done to it."""
    assert process.stdout is not None
    return all(process.stdout.readline() == "draining\n" for _ in range(4))


async def test_asking_ends_the_waiting():
    drain = Drain()
    waiting = asyncio.create_task(drain.wait())
    drain.ask()

    assert await waiting
    assert drain.asked


async def test_work_is_cut_short_when_asked():
    drain = Drain()
    cutting = asyncio.create_task(drain.cut(asyncio.sleep(1000)))
    drain.ask()

    await asyncio.wait_for(cutting, 10)


async def test_work_that_fails_before_fails():
    async def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours
        await Drain().cut(fails())


async def test_call_that_fails_once_cancelled_is_cancelled():
    go, failing = threading.Event(), ValueError()

    def fails() -> None:
        go.wait()
        raise failing

    calling = asyncio.create_task(to_its_end(fails))
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.sleep(0)
    go.set()

    with pytest.raises(asyncio.CancelledError) as cancelled:
        await calling
    assert cancelled.value.__cause__ is failing


async def test_waiting_has_an_end_of_its_own():
    assert not await Drain().wait(0.001)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_a_while_of_draining_ends_at_once(number: signal.Signals):
    with draining(number) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(TWICE_SECONDS)
        assert process.returncode is None
        process.send_signal(number)

        assert process.wait(10) == EXIT_FORCED


def test_signals_of_one_moment_ask_once():
    """A stop of a whole group comes from there and from the parent."""
    with draining(signal.SIGTERM) as process:
        process.send_signal(signal.SIGTERM)

        assert goes_on(process)


def test_the_first_signal_to_what_drains_by_itself_does_not_end_it():
    """As when its engine is gone, and somebody then stops it."""
    with draining(signal.SIGTERM, "asked") as process:
        assert goes_on(process)


async def test_a_task_that_is_cancelled_ends():
    task = asyncio.create_task(asyncio.Event().wait())

    await cancel(task)

    assert task.cancelled()


async def test_a_task_that_misses_a_cancellation_is_cancelled_again():
    """As Python 3.11 loses one that comes when a `wait_for` is just done."""
    missed = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(missed) == 2:
                    raise
                missed.append(time.monotonic())

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    await cancel(task)

    assert len(missed) == 2


async def test_what_a_cancelled_task_raised_is_nobodys():
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await until(task.done)

    await cancel(task)

    assert isinstance(task.exception(), ValueError)


async def test_nothing_to_cancel_is_nothing_to_wait_for():
    await cancel()
