"""Export: large files on their way to the hub, from the disk, a few at a time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import BufferedReader, FileIO
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TypeAlias

from huggingface_hub import CommitOperationAdd
from msgspec import Struct

from caption_flow.export.hub.repo import Repo

_AT_ONCE = 8  # files; of those before, none is sent again after a cut
_TELL_SECONDS = 0.1  # within a file


class Progress(Struct, frozen=True):
    """How much of what has to be uploaded is there."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int


See: TypeAlias = Callable[[Progress], object]


class Sending:
    """Sends files, and tells how far it is."""

    def __init__(self, repo: Repo, files: Mapping[str, Path], see: See | None) -> None:
        self._repo = repo
        self._files = dict(sorted(files.items()))
        self._sizes = {name: path.stat().st_size for name, path in self._files.items()}
        self._total = sum(self._sizes.values())
        self._see = see
        self._sent = dict.fromkeys(files, 0)  # bytes
        self._so_far = 0  # bytes of all
        self._done = 0  # files
        self._told = 0.0  # when, on the monotonic clock
        self._lock = Lock()

    def send(self) -> list[CommitOperationAdd]:
        """Send all of them; gives what a commit needs to name them."""
        names, made = list(self._files), []
        if names:
            some = self._by_xet if self._repo.speaks_xet() else self._by_http
            for start in range(0, len(names), _AT_ONCE):
                group = names[start : start + _AT_ONCE]
                made += some(group)
                self._arrived(group)
        return made

    def at(self, name: str, position: int) -> None:
        """Note how far into a file the library has come; called in its threads."""
        with self._lock:
            self._note(name, position)
            if monotonic() - self._told >= _TELL_SECONDS:
                self._tell()

    def _by_xet(self, names: Sequence[str]) -> list[CommitOperationAdd]:
        made = [self._whole(name) for name in names]
        self._repo.send(made)
        return made

    def _by_http(self, names: Sequence[str]) -> list[CommitOperationAdd]:
        """Send files that we have opened: those, the library never sends by Xet."""
        with ExitStack() as opened:
            files = [opened.enter_context(_Watched(self._files[name])) for name in names]
            made = [CommitOperationAdd(name, file) for name, file in zip(names, files, strict=True)]
            for name, file in zip(names, files, strict=True):  # now that they were hashed
                file.watch(self, name)
            self._repo.send(made)
        # What the hub does not take for large still has its file, and is sent by the commit.
        return [
            self._whole(one.path_in_repo) if isinstance(one.path_or_fileobj, _Watched) else one
            for one in made
        ]

    def _whole(self, name: str) -> CommitOperationAdd:
        return CommitOperationAdd(name, self._files[name])

    def _arrived(self, names: Sequence[str]) -> None:
        with self._lock:
            self._done += len(names)
            for name in names:
                self._note(name, self._sizes[name])
            self._tell()

    def _note(self, name: str, position: int) -> None:
        more = max(0, position - self._sent[name])  # what is read once more was told already
        self._sent[name] += more
        self._so_far += more

    def _tell(self) -> None:
        self._told = monotonic()
        if self._see is not None:
            self._see(Progress(self._done, len(self._files), self._so_far, self._total))


class _Watched(BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self._tell: Callable[[int], None] = lambda _: None

    def watch(self, sending: Sending, name: str) -> None:
        self._tell = lambda position: sending.at(name, position)

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._tell(self.tell())
        return data
