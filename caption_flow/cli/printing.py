"""Command line: standard output that takes no more, as a full disk or a reader that has gone; and
that is kept from others.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from caption_flow.errors import CaptionFlowError


@contextmanager
def printing(out: TextIO | None = None) -> Iterator[None]:
    """Stand around what prints, and nothing else; all of it is out when the context ends."""
    out = out or sys.stdout
    try:
        yield
        out.flush()
    except OSError as exc:
        _leave_the_rest(out)
        raise CaptionFlowError(f"Standard output cannot be written: {exc.strerror}.") from exc


@contextmanager
def results() -> Iterator[TextIO]:
    """Keep standard output for what is written here.

    What else is printed meanwhile, as vLLM and its processes do, goes to standard error.
    """
    sys.stdout.flush()
    kept = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with open(kept, "w", encoding=sys.stdout.encoding, errors="backslashreplace") as out:  # noqa: PTH123 - no path
        try:
            yield out
        finally:
            sys.stdout.flush()
            os.dup2(kept, sys.stdout.fileno())


def _leave_the_rest(out: TextIO) -> None:
    """Let go what is still to be written, or Python would fail once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())
    os.close(nowhere)
