"""Bench: CPU seconds and peak memory of a process with all that it has started.

Looked at ten times a second in /proc, so that children count which nobody waits for. Memory that
processes share is counted once (PSS), as that of a server of objects would else count several
times.
"""

import os
import threading
from pathlib import Path
from typing import Self

from msgspec import Struct

INTERVAL = 0.1  # seconds between two looks at CPU
MEMORY_EVERY = 5  # looks; the kernel walks all pages for it
_TICKS = os.sysconf("SC_CLK_TCK")


class Used(Struct, frozen=True):
    """What a tree of processes has taken."""

    cpu_s: float
    peak_mib: float


class Tree:
    """A context in which a process and its descendants are looked at."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._family = {root}
        self._cpu: dict[int, float] = {}  # of each, as last seen
        self._peak_kib = 0
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    @property
    def used(self) -> Used:
        """Say what all of them have used so far."""
        return Used(round(sum(self._cpu.values()), 2), round(self._peak_kib / 1024, 1))

    def seconds(self) -> tuple[float, float]:
        """Say the CPU seconds of the process itself, and of all that it has started, until now."""
        self._count_cpu()
        own = self._cpu[self._root]
        return own, sum(self._cpu.values()) - own

    def _look(self) -> None:
        looks = 0
        while not self._over.wait(INTERVAL):
            self._count_cpu()
            if looks % MEMORY_EVERY == 0:
                alive = sum(_pss_kib(pid) for pid in self._family)
                self._peak_kib = max(self._peak_kib, alive)
            looks += 1

    def _count_cpu(self) -> None:
        found = {int(e.name): _stat(int(e.name)) for e in os.scandir("/proc") if e.name.isdigit()}
        family, known = self._family, 0
        while len(family) > known:  # a child may stand before its parent
            known = len(family)
            family = family | {p for p, (parent, _) in found.items() if parent in family}
        self._family = family
        # Replaced as a whole, since another thread may be summing.
        self._cpu = self._cpu | {
            pid: max(found[pid][1], self._cpu.get(pid, 0.0)) for pid in family if pid in found
        }


def peak_mib(pid: int) -> float:
    """Most memory that a process has had since it began its program."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if "VmHWM" in line) / 1024, 1)


def _stat(pid: int) -> tuple[int, float]:
    """Read the parent of a process and its CPU seconds; nobody's and none if it has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
