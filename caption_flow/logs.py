"""What processes say: one line a thing, on standard error, for people or as JSON.

Who speaks is told once a process (`speak_as`), and for tasks that serve somebody, around them
(`speaking_for`); what a line is about is told with it: `extra=about(sample)`. docs/logs.md tells
what each field means.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from traceback import format_exception_only
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

Form: TypeAlias = Literal["plain", "json"]

ABOUT = ("sample", "chunk", "part", "contributor")  # what a line may be about
# How processes that a library of ours starts hear of what was set up here.
INHERITED = "CAPTION_FLOW_INTERNAL_LOGS"

# What moves cursors and rings bells: names and texts in a line may be strangers'.
_CONTROLS = {n: "\ufffd" for n in (*range(0x20), *range(0x7F, 0xA0)) if chr(n) not in "\n\t"}
_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_DELETE = {0x7F: "\\u007f"}  # the one control that JSON leaves as it is

_speaker: dict[str, str] = {}  # of the whole process, in all its threads
_served: ContextVar[Mapping[str, str]] = ContextVar("served", default=MappingProxyType({}))


class Identified(Protocol):
    """What has an id, and a chunk: a sample."""

    @property
    def id(self) -> str:
        """The id."""
        ...

    @property
    def chunk(self) -> str:
        """The id of its chunk."""
        ...


def about(
    sample: Identified | None = None, *, chunk: str = "", part: str = "", contributor: str = ""
) -> dict[str, str]:
    """Say what a line is about, as the `extra` of a call of a logger."""
    told = {"chunk": chunk, "part": part, "contributor": contributor}
    if sample is not None:
        told |= {"sample": sample.id, "chunk": sample.chunk}
    return {name: value for name, value in told.items() if value}


def speak_as(**who: str) -> None:
    """Say who speaks, from here on in the whole process: `role`, `job`, `member`."""
    _speaker.update(who)
    if INHERITED in os.environ:
        _bequeath(json.loads(os.environ[INHERITED]) | {"speaker": _speaker})


@contextmanager
def speaking_for(**whom: str) -> Iterator[None]:
    """Say for whom this task and those that it starts speak: `contributor`."""
    token = _served.set({**_served.get(), **whom})
    try:
        yield
    finally:
        _served.reset(token)


class _Plain(logging.Formatter):
    """Writes lines that a terminal only shows."""

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_CONTROLS)


class _Json(logging.Formatter):
    """Writes an object a line, in ASCII alone."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            **_speaker,
            **_served.get(),
            **{name: str(vars(record)[name]) for name in ABOUT if name in vars(record)},
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self._told_of(record.exc_info)
        return json.dumps(line).translate(_DELETE)

    def _told_of(self, failure: Any) -> str:
        if self._verbose:
            return self.formatException(failure)
        return "".join(format_exception_only(failure[1])).strip()


class _Library(logging.Logger):
    """The logger of a library: its lines come to us, whatever it sets up for a terminal."""

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as logging spells it
        if not _writes_to_a_console(hdlr):
            super().addHandler(hdlr)

    @property
    def propagate(self) -> bool:
        return True

    @propagate.setter
    def propagate(self, _wanted: bool) -> None:
        """Stay as it is."""


def set_up(log_level: str = "info", log_format: Form = "plain", *, verbose: bool = False) -> None:
    """Send lines of at least this level to standard error, stamped in UTC.

    As JSON those of libraries too, as far as they use `logging`; `verbose`: whole tracebacks.
    """
    handler = logging.StreamHandler()
    in_json = log_format == "json"
    handler.setFormatter(_Json(verbose=verbose) if in_json else _Plain())
    ours = logging.getLogger("caption_flow")
    ours.handlers[:] = [handler]
    ours.setLevel(log_level.upper())
    ours.propagate = False
    if in_json:
        _take_in_libraries(handler)
        _bequeath({"log_level": log_level, "verbose": verbose, "speaker": _speaker})
    else:
        os.environ.pop(INHERITED, None)


def in_json() -> bool:
    """Whether lines are written as JSON."""
    return INHERITED in os.environ


def inherit() -> None:
    """Speak as the process that has started this one, where that speaks JSON."""
    if told := os.environ.get(INHERITED):
        left = json.loads(told)
        _speaker.update(left["speaker"])
        set_up(left["log_level"], "json", verbose=left["verbose"])


def _bequeath(told: Mapping[str, object]) -> None:
    os.environ[INHERITED] = json.dumps(told)


def _take_in_libraries(handler: logging.Handler) -> None:
    """Let what libraries say, warnings of Python too, go the way of our own lines."""
    logging.captureWarnings(capture=True)
    logging.root.handlers[:] = [handler]
    logging.setLoggerClass(_Library)
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.name != "caption_flow":
            logger.handlers[:] = [h for h in logger.handlers if not _writes_to_a_console(h)]
            logger.propagate = True


def _writes_to_a_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(
        handler, logging.FileHandler
    )
