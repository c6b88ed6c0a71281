"""Certificates, their files: read no further than such files go, and written in one step."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from caption_flow.errors import CaptionFlowError, CertificateUnfit

OWNER_ONLY = 0o600
OTHERS_READ = 0o644
_LONGEST = 1 << 20  # bytes; bundles of all public authorities are a fifth of it


class Content(Struct, frozen=True):
    """What is to be in a file."""

    data: bytes
    mode: int  # permissions, from the moment that the file is there


def read(path: Path) -> bytes:
    """Read a file that holds certificates or a key."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        raise CertificateUnfit(f"{path} cannot be read ({_reason(exc)}).") from exc
    if len(data) > _LONGEST:
        raise CertificateUnfit(f"{path} holds more than 1 MiB; that is no certificate and no key.")
    return data


def write(contents: Mapping[Path, Content], *, over: bool) -> None:
    """Write files, all or none where a disk is full; each is whole when it has its name.

    `over`: in the place of what is there, which is refused otherwise.
    """
    try:
        with ExitStack() as fresh:
            written = {p: fresh.enter_context(_beside(p, c)) for p, c in contents.items()}
            for path, file in written.items():
                if over:
                    file.replace(path)
                else:
                    path.hardlink_to(file)  # which, unlike a rename, replaces nothing
    except (OSError, ValueError) as exc:
        folder = next(iter(contents)).parent
        raise CaptionFlowError(
            f"Nothing can be written to {folder} ({_reason(exc)}). Give another --output-dir."
        ) from exc


@contextmanager
def _beside(path: Path, content: Content) -> Iterator[Path]:
    """Write a file next to where it shall be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # Made with its permissions: whoever opened it before they were set would go on reading.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, content.mode)
        with open(descriptor, "wb") as out:  # noqa: PTH123 - no path
            out.write(content.data)
            out.flush()
            os.fsync(out.fileno())
        yield file
    finally:
        file.unlink(missing_ok=True)


def _reason(exc: OSError | ValueError) -> str:
    return getattr(exc, "strerror", None) or str(exc)
