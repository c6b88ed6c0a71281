"""Processes that prepare leave a core to what feeds the engine, of those that there are for it."""

import os
import subprocess
import sys

import pytest

TRIED = """
import os, sys
from caption_flow.engine.preparing.cores import spare
os.sched_setaffinity(0, set(map(int, sys.argv[2:])))
print(spare(int(sys.argv[1])))
"""


def told(engines: int, cores: list[int]) -> int:
    arguments = [sys.executable, "-c", TRIED, str(engines), *map(str, cores)]
    return int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("engines", [1, 2])
def test_one_core_is_left_of_those_that_the_process_may_use(engines: int):
    cores = sorted(os.sched_getaffinity(0))

    assert told(engines, cores) == max(1, min(64, (len(cores) - 1) // engines))
    assert told(engines, cores[:1]) == 1
