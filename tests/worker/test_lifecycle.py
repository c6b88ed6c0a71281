"""Lifecycle: asked once a process drains, asked twice it goes; and what is cancelled ends."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from caption_flow.lifecycle import EXIT_FORCED, Drain, cancel
from tests.roles import until

PROCESS = """
import asyncio
from caption_flow.lifecycle import Drain

async def main() -> None:
    drain = Drain()
    drain.on_signals()
    print("ready", flush=True)
    await drain.wait()
    print("draining", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_asking_ends_the_waiting():
    drain = Drain()
    waiting = asyncio.create_task(drain.wait())
    drain.ask()

    assert await waiting
    assert drain.asked


async def test_waiting_has_an_end_of_its_own():
    assert not await Drain().wait(0.001)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_the_second_ends_at_once(number: signal.Signals):
    command = [sys.executable, "-c", PROCESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(number)

        assert process.wait(10) == EXIT_FORCED


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
