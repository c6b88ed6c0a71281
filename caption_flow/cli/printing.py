"""Command line: standard output that takes no more, as a full disk or a reader that has gone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from caption_flow.errors import CaptionFlowError


@contextmanager
def printing() -> Iterator[None]:
    """Stand around what prints, and nothing else; all of it is out when the context ends."""
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        _leave_the_rest()
        raise CaptionFlowError(f"Standard output cannot be written: {exc.strerror}.") from exc


def _leave_the_rest() -> None:
    """Let go what is still to be written, or Python would fail once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
