"""Engine: the cores that processes may have which prepare images."""

import os

from caption_flow.config.schema import MOST_PREPARERS


def spare(engines: int) -> int:
    """Say how many there are for each of so many engines, but for one that feeds them."""
    try:
        cores = len(os.sched_getaffinity(0))  # those of this process, not of the host
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    return max(1, min(MOST_PREPARERS, (cores - 1) // engines))
