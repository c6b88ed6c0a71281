"""Memory of a feeder: what was freed is used again, and not asked of the kernel each time."""

import subprocess
import sys

import pytest

BATCHES, IMAGES, SIZE, PAGE = 100, 16, 65_536, 4_096
PROGRAM = f"""
import resource
from caption_flow.feed.freed import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def batch():
    return [bytearray(b"x") * {SIZE} for _ in range({IMAGES})]

%s
batch()
before = faults()
for _ in range({BATCHES}):
    batch()
print(faults() - before)
"""


def faults(first: str) -> int:
    """Pages that the kernel gave to a process for batches of images, after the first one."""
    program = [sys.executable, "-c", PROGRAM % first]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other allocators go their own way")
def test_memory_of_images_is_taken_from_what_was_freed():
    of_all = BATCHES * IMAGES * SIZE // PAGE

    assert faults("keep_freed_memory()") < of_all / 10 < faults("pass")
