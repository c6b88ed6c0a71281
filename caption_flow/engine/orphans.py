"""Engine: vLLM's processes end with the worker that started them, not before and not after.

vLLM calls `follow_owner` in each of its processes, as one of its plugins (entry-point group
`vllm.general_plugins`). Left to itself, the engine of a killed worker would stay, with all the
memory of its GPU, and the next worker could not start. And the engine would take a Ctrl-C, which
a terminal sends to all of a process group, for meant for itself, while its worker still finishes
what is inside. Where the worker logs JSON, they do too.
"""

import atexit
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from threading import Thread

from caption_flow import logs

OWNER = "CAPTION_FLOW_INTERNAL_ENGINE_OWNER"  # process id of the worker; its engines inherit it
LOOK_SECONDS = 1.0


def follow_owner() -> None:
    """End this process soon after its owner, where that is one of our workers, and by it alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        logs.inherit()  # in processes of its processes too
    if parent is not None and str(parent.pid) == os.environ.get(OWNER):
        os.setpgid(0, 0)  # its own processes follow it there
        follow(parent.pid)


def follow(owner: int | None) -> None:
    """End this process soon after one that has started it, whatever it is at."""
    Thread(target=_follow, args=(owner,), name="follow-owner", daemon=True).start()


def _follow(owner: int | None) -> None:
    while os.getppid() == owner:
        time.sleep(LOOK_SECONDS)
    # Nobody is left to be told, and what it shares with the GPU the driver frees.
    os.kill(os.getpid(), signal.SIGKILL)


class Children:
    """Processes that are started from here on, of a load that nobody may wait for."""

    def __init__(self) -> None:
        self._elder = set(multiprocessing.active_children())

    def end(self) -> None:
        """Kill them, now and at our end: it would wait for them, and they for our word."""
        self._kill()
        atexit.register(self._kill)

    def _kill(self) -> None:
        for child in set(multiprocessing.active_children()) - self._elder:
            _kill(child)


def _kill(child: BaseProcess) -> None:
    """Kill a process, with those of its own where it is one that follows its owner."""
    child.kill()
    if child.pid is not None:
        with suppress(ProcessLookupError):  # it has no group, or nobody is left in it
            os.killpg(child.pid, signal.SIGKILL)
