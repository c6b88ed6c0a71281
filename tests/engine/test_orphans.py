"""Processes of a load that nobody waits for end with all that they have started."""

import multiprocessing
import os
import subprocess
import time
from multiprocessing.connection import Connection

from caption_flow.engine.orphans import Children
from tests.e2e.desk import alive, wait_until


def lead(pipe: Connection) -> None:
    """Be what vLLM's engine is: the head of a group, with a process of its own."""
    os.setpgid(0, 0)
    with subprocess.Popen(["sleep", "600"]) as own:
        pipe.send(own.pid)
        time.sleep(600)


def test_children_are_killed_with_their_own():
    children = Children()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=lead, args=(there,))
    child.start()
    own = here.recv()

    children.end()

    child.join()
    wait_until(lambda: not alive(own), "the end of the child's own process")


def test_children_of_before_live_on():
    elder = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    elder.start()

    Children().end()

    assert elder.is_alive()
    elder.kill()
    elder.join()
    elder.close()
