"""A real disk that is soon full: a tmpfs of its own, for who may mount one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import require

SIZE = 1 << 20  # bytes
FILES = 32


class Disk:
    """A small file system, mounted at a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Leave no space but so much."""
        space = os.statvfs(self.path)
        free = space.f_bavail * space.f_frsize - leave
        self._filler.write_bytes(bytes(max(0, free)))

    def fill_with_files(self) -> None:
        """Leave all the space, but no room for one more file."""
        self._filler.mkdir()
        for number in range(os.statvfs(self.path).f_favail):
            (self._filler / str(number)).touch()

    def free(self) -> None:
        if self._filler.is_dir():
            shutil.rmtree(self._filler)
        else:
            self._filler.unlink()

    def forbid_writing(self) -> None:
        _mount("-o", "remount,ro", self.path)

    def allow_writing(self) -> None:
        _mount("-o", "remount,rw", self.path)


@contextmanager
def mounted(path: Path) -> Iterator[Disk]:
    """Mount an empty disk for as long as the context lasts."""
    path.mkdir(parents=True, exist_ok=True)
    done = _mount("-t", "tmpfs", "-o", f"size={SIZE},nr_inodes={FILES}", "none", path, check=False)
    require(done, "the right to mount a tmpfs")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _mount(*arguments: object, check: bool = True) -> bool:
    command = ["mount", *map(str, arguments)]
    return subprocess.run(command, check=check, capture_output=True).returncode == 0
