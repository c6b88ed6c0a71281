"""Data set: which keys come more than once among any number of them, in little memory.

Each key is shortened to a word of 8 bytes, and the words are kept in files, each by its value in
one of several, of which one at a time is looked through. What is found repeated is a suspicion
only: whoever asks compares the keys themselves.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, Self

import numpy as np

from caption_flow.errors import StorageBlocked

_WORDS_PER_FILE = 2_000_000  # 16 MB, and as much again to sort them
_MOST_FILES = 256  # open at once


class Repeats:
    """Finds the words that come more than once; a context."""

    def __init__(self, keys: int) -> None:
        """`keys`: how many will come, by which the files are made."""
        self._parts = min(_MOST_FILES, keys // _WORDS_PER_FILE + 1)
        self._files: list[IO[bytes]] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with _aside():
            self._files = [
                self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is one
                for _ in range(self._parts)
            ]
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of what a full disk did not take, as was told
            self._opened.close()

    def add(self, keys: Sequence[str]) -> None:
        """Take note of some keys."""
        found = words(keys)
        homes = found % np.uint64(self._parts)
        with _aside():
            for home in np.unique(homes).tolist():
                self._files[home].write(found[homes == home].tobytes())

    def found(self) -> Any:
        """Give the words of more than one key, in order, as an array."""
        with _aside():
            return np.sort(np.concatenate([_repeated(file) for file in self._files]))


def words(keys: Sequence[str]) -> Any:
    """Shorten keys to an array of words, the same for the same key in this process."""
    # Python's own hash has a secret of the process: nobody can make keys that all meet.
    return np.fromiter(map(hash, keys), dtype=np.int64, count=len(keys)).view(np.uint64)


def among(found: Any, some: Any) -> Any:
    """Tell of each of some words whether it is among those that were found."""
    if not len(found):
        return np.zeros(len(some), dtype=bool)
    places = np.searchsorted(found, some)
    places[places == len(found)] = 0
    return found[places] == some


@contextmanager
def _aside() -> Iterator[None]:
    """Stand around what uses temporary files."""
    try:
        yield
    except OSError as exc:
        where = tempfile.tempdir or "any folder"
        raise StorageBlocked(
            f"Temporary files cannot be written in {where} ({exc.strerror}). "
            "Free some space there, or set TMPDIR to another folder."
        ) from exc


def _repeated(file: IO[bytes]) -> Any:
    file.seek(0)
    sorted_ = np.frombuffer(bytearray(file.read()), dtype=np.uint64)
    sorted_.sort()
    return np.unique(sorted_[1:][sorted_[1:] == sorted_[:-1]])
