"""`caption-flow export` in this process: what it says, and how it ends."""

import io
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from caption_flow.cli.main import main
from tests.e2e.desk import Ended

_ERRORS = ("strict", "backslashreplace")  # as Python has them for the two


def export(*arguments: object) -> Ended:
    """Run the command; any exception that would be a traceback is one here."""
    begun = time.monotonic()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=how, newline="") for how in _ERRORS)
    called = ["caption-flow", "export", *map(str, arguments)]
    with patch.object(sys, "argv", called), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as exc:
            code = exc.code
    said = [_bytes(stream).decode() for stream in (out, err)]
    assert "should not happen" not in said[1], said[1]
    assert isinstance(code, int)
    return Ended(code, *said, time.monotonic() - begun)


def exported(*arguments: object) -> Ended:
    """Run the command, which must succeed."""
    done = export(*arguments)
    assert done.code == 0, done.words
    return done


def refused(*arguments: object, code: int = 2) -> str:
    """Run the command, which must end with one sentence; answers that."""
    done = export(*arguments)
    assert (done.code, done.out) == (code, ""), done.words
    return done.err


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, hidden or not."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _bytes(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()
