"""What Arrow raises over bytes that are not what they should be, put in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from caption_flow.errors import SourceError
from feeders.files.port import File, FileUnreadable

DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, ImportError)


@contextmanager
def told(file: File, kind: str) -> Iterator[None]:
    """Say which file is damaged; what the file itself has raised is in words already."""
    try:
        yield
    except SourceError:
        raise
    except DAMAGE as exc:
        raise FileUnreadable(
            f"{file.where} cannot be read as {kind}: {exc}. It may be incomplete: "
            "fetch or write it again, or take it out of the data set."
        ) from exc
