"""Queue, embedded: a Redis of our own under the job's data, for those who run none.

`run` starts it before the roles and stops it after them. Two locks keep the data safe: the
server holds one as long as it lives, so no second one starts on the same files; its owner
holds the other, so a server whose owner has died is told from one that may be shared.
"""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from enum import Enum, auto
from hashlib import sha256
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec
from redis import Redis
from redis import exceptions as foreign
from redis.backoff import NoBackoff
from redis.retry import Retry

from caption_flow.errors import QueueUnfit, QueueUnreachable
from caption_flow.queue import leash
from caption_flow.queue.aof import mend_aof
from caption_flow.queue.binaries import ServerBinary, examine, find_binary

_DIES_WITH_PARENT = sys.platform == "linux"
_ORPHAN_PATIENCE = 10.0  # seconds for a server to follow its owner
_STOP_PATIENCE = 60.0  # seconds to flush the AOF; a slow disk may have much to write
_POLL = 0.02  # seconds
_LONGEST_SOCKET = 103  # bytes of a path; macOS has 104 with the closing zero, Linux 108


class _Record(msgspec.Struct, frozen=True):
    """What a data directory tells whoever comes next."""

    socket: str
    flavour: str  # of the server that wrote the data


class _Life(Enum):
    SILENT = auto()
    LOADING = auto()
    READY = auto()


class EmbeddedRedis:
    """A server on a unix socket, its data in `directory`; ours, or shared with another run.

    It ends with this process, even when this process is killed. On Linux the kernel sees to
    that when the *thread* that called `start` ends, so call it from the main thread.
    """

    def __init__(
        self, directory: Path, *, binary: Path | None = None, patience: float = 30.0
    ) -> None:
        self._directory = directory.resolve()
        self._binary = binary  # instead of one that we find
        self._patience = patience  # seconds without a sign of life
        self._owner_lock = _Lock(self._directory / "owner.lock")
        self._server_lock = _Lock(self._directory / "server.lock")
        self._process: subprocess.Popen[bytes] | None = None
        self._orphan: int | None = None  # process id of a server we took over from the dead
        self._launched = False  # by the `start` that is at work, or was last
        self._log_start = 0  # where the log of this start begins, in bytes

    @property
    def url(self) -> str:
        """Where it answers, in the form of the setting `redis`."""
        record = _read_record(self._directory)
        if record is None:
            raise QueueUnreachable(f"No Redis was started in {self._directory} yet.")
        return _url(record)

    @property
    def owned(self) -> bool:
        """Whether `stop` ends it; else another run does."""
        return self._owner_lock.held

    @property
    def log(self) -> Path:
        """What the server writes about itself."""
        return self._directory / "redis.log"

    def start(self) -> Self:
        """Have a server that answers: start one, or adopt that of another run.

        It may be called again when the server is gone; `revive` does not wait for an answer.
        """
        self._launched = False
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self._reach()
        except OSError as exc:
            self.stop()
            raise QueueUnfit(
                f"No Redis can run in {self._directory}: {exc}. Let us write there, or set `redis`."
            ) from exc
        except BaseException:
            self.stop()
            raise
        return self

    async def revive(self) -> None:
        """Take a step towards a server where there is none, as when the owner of ours has ended.

        It waits for no answer; call it again, from the main thread, as long as there is none.
        """
        if self._process is not None:
            code = self._process.poll()
            if code is None:  # it is there, and may answer yet
                return
            self._process = None
            raise QueueUnreachable(self._complaint(f"ended with {code}"))
        try:
            if self._is_abandoned():
                self._launch(*await asyncio.to_thread(self._prepare))
        except OSError as exc:
            raise QueueUnreachable(f"No Redis can run in {self._directory}: {exc}.") from exc

    def stop(self) -> None:
        """End the server with all data on disk; leave it where it is another run's."""
        if self.owned:
            self._end()
            _tidy(self._directory)
        self._process = self._orphan = None
        self._server_lock.drop()
        self._owner_lock.drop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _reach(self) -> None:
        begun = alive = time.monotonic()
        while True:
            follows = time.monotonic() - begun < _ORPHAN_PATIENCE
            life = self._knock(adopt_orphan=not (_DIES_WITH_PARENT and follows))
            if life is _Life.READY:
                return
            if life is _Life.LOADING:  # a large AOF takes minutes
                alive = time.monotonic()
            if time.monotonic() - alive > self._patience:
                raise QueueUnreachable(self._complaint(f"was silent for {self._patience:.0f} s"))
            time.sleep(_POLL)

    def _knock(self, *, adopt_orphan: bool) -> _Life:
        """Take one step towards a server that is ready."""
        if self._process is not None and self._process.poll() is not None:
            if self._launched:
                raise QueueUnreachable(self._complaint(f"ended with {self._process.returncode}"))
            self._process = None
        if self._owner_lock.take():
            if self._server_lock.take():
                self._launch(*self._prepare())
            elif self._process is None and self._orphan is None:
                return self._adopt_orphan() if adopt_orphan else _Life.SILENT
        return _ping(_read_record(self._directory))

    def _adopt_orphan(self) -> _Life:
        """Own a server whose owner died without it."""
        record = _read_record(self._directory)
        life = _ping(record)
        if record is not None and life is _Life.READY:
            with _client(record) as client:
                self._orphan = client.info("server")["process_id"]
        return life

    def _is_abandoned(self) -> bool:
        """Whether there is neither server nor, but for us, an owner; it is ours to start then."""
        was_ours = self.owned
        if not self._owner_lock.take():
            return False
        abandoned = self._server_lock.take()
        if not (abandoned or was_ours):  # a server on its way out, or one that outlives its owner
            self._owner_lock.drop()
        return abandoned

    def _prepare(self) -> tuple[_Record, ServerBinary]:
        """Have everything ready for a server; takes its time where the AOF is large."""
        record = _read_record(self._directory)
        binary = self._chosen(record.flavour if record else "")
        record = _Record(str(_socket_of(self._directory)), binary.flavour)
        _write_record(self._directory, record)
        mend_aof(self._directory, binary)
        return record, binary

    def _launch(self, record: _Record, binary: ServerBinary) -> None:
        """Start a server that inherits the server lock; it alone holds it from here on."""
        if self._process is not None:  # it lost the lock as it ended, a moment before we are told
            self._process.wait()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the program was examined
                [*_leashed(), str(binary.path), *_arguments(self._directory, record)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LC_ALL": "C"},  # it refuses to start in a locale it lacks
                pass_fds=[self._server_lock.descriptor],
                start_new_session=True,  # Ctrl-C in the terminal is for the roles
            )
        self._launched = True
        self._server_lock.drop()

    def _chosen(self, flavour: str) -> ServerBinary:
        if self._binary is None:
            return find_binary(flavour)
        binary = examine(self._binary)
        if binary is None or not binary.fit:
            raise QueueUnfit(f"{self._binary} is no Redis 7.0, Valkey 7.2 or later.")
        return binary

    def _end(self) -> None:
        if not self._gone():
            self._signal(signal.SIGCONT)  # one that was stopped could not end
        for how, patience in ((signal.SIGTERM, _STOP_PATIENCE), (signal.SIGKILL, 5.0)):
            if not self._gone():
                self._signal(how)
            deadline = time.monotonic() + patience
            while not self._gone() and time.monotonic() < deadline:
                time.sleep(_POLL)

    def _signal(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
        elif self._orphan is not None:
            os.kill(self._orphan, how)

    def _gone(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        return self._orphan is None or self._server_lock.take()

    def _complaint(self, what: str) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()[-8:]
        except FileNotFoundError:
            lines = []
        return "\n  ".join([f"The Redis in {self._directory} {what}. {self.log} ends:", *lines])


class _Lock:
    """A file only one process may hold; the kernel lets go when its holders are gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1  # for a child that is to hold the lock too

    @property
    def held(self) -> bool:
        return self.descriptor >= 0

    def take(self) -> bool:
        """Hold the lock if nobody else does; True when it is ours."""
        if self.held:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def drop(self) -> None:
        if self.held:
            os.close(self.descriptor)
            self.descriptor = -1


def running_url(directory: Path) -> str | None:
    """URL of the server that now answers for this data directory, whoever started it."""
    record = _read_record(directory)
    return _url(record) if record and _ping(record) is _Life.READY else None


def _url(record: _Record) -> str:
    return f"unix://{quote(record.socket)}"


def _ping(record: _Record | None) -> _Life:
    if record is None:
        return _Life.SILENT
    try:
        with _client(record) as client:
            client.ping()
    except foreign.BusyLoadingError:
        return _Life.LOADING
    except (foreign.ConnectionError, foreign.TimeoutError):
        return _Life.SILENT
    return _Life.READY


def _client(record: _Record) -> Redis:
    return Redis(
        unix_socket_path=record.socket,
        socket_timeout=2.0,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )


def _leashed() -> list[str]:
    """Words before a command that make it end with this process."""
    if not _DIES_WITH_PARENT:
        return []
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]


def _arguments(directory: Path, record: _Record) -> list[str]:
    settings = {
        "port": "0",  # the unix socket is the only door
        "unixsocket": record.socket,
        "unixsocketperm": "700",
        "dir": str(directory),
        "daemonize": "no",
        "loglevel": "notice",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",  # the last entry is cut after a power failure
        # The AOF holds every image that ever passed until it is rewritten, which costs as much
        # as what is in flight. At 64 MB/s of images, 512 MB means once in 8 s at most; less
        # would rewrite all the time, more would fill small disks.
        "auto-aof-rewrite-min-size": "512mb",
        "auto-aof-rewrite-percentage": "100",
        "rdbcompression": "no",  # of that file; images are not made smaller, which takes long
        "save": "",
        "maxmemory": "0",  # the budget of the job bounds it
        "maxmemory-policy": "noeviction",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _socket_of(directory: Path) -> Path:
    """Place for the socket: beside the data, or in a short folder when that path is too long."""
    near = directory / "redis.sock"
    if len(os.fsencode(near)) <= _LONGEST_SOCKET:
        return near
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime if os.access(runtime, os.W_OK) else tempfile.gettempdir())
    folder = base / f"caption-flow-{sha256(os.fsencode(directory)).hexdigest()[:16]}"
    _make_private(folder)
    return folder / "redis.sock"


def _make_private(folder: Path) -> None:
    """Have a folder that only we can enter, in a place where others can make one before us."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise QueueUnfit(
            f"{folder} is not ours, so no Redis goes there. Remove it, or set `redis`."
        )
    folder.chmod(0o700)


def _tidy(directory: Path) -> None:
    """Remove the short folder, if there is one; it was for the socket alone."""
    record = _read_record(directory)
    if record is not None and (folder := Path(record.socket).parent) != directory:
        with suppress(OSError):
            folder.rmdir()


def _read_record(directory: Path) -> _Record | None:
    try:
        return msgspec.json.decode((directory / "server.json").read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write_record(directory: Path, record: _Record) -> None:
    """Write by rename, for others read it at any moment."""
    fresh = directory / "server.json.new"
    fresh.write_bytes(msgspec.json.encode(record))
    fresh.replace(directory / "server.json")
