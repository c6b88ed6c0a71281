"""Engine: calls that take long, in a thread that nobody has to wait for.

A model that never ends loading must not keep its process, which joins every other thread at its
end.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """Run a call in a daemon thread of its own; who is cancelled here leaves it behind."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on it cannot be cancelled, only left

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as exc:  # whatever it is, it is for who waits
            future.set_exception(exc)

    Thread(target=work, name="aside", daemon=True).start()
    return await asyncio.wrap_future(future)
