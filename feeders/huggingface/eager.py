"""Doing a little ahead of who waits for it, in order: what is far away takes its time."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 8


def settled(items: "Iterator[T | Callable[[], T]]") -> Iterator[T]:
    """Give all items in order; those that have to be called are called in threads, ahead.

    Items that need no call are given as they come, without a thread.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "caption-flow-files") as pool:
        try:
            for item in items:
                if callable(item):
                    waiting.append(pool.submit(item))
                elif waiting:
                    waiting.append(_done(item))
                else:
                    yield item
                while waiting and (len(waiting) > AT_ONCE or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _done(item: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(item)
    return future
