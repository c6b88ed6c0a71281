"""Certificates, their files: read whole and no further than such files go."""

from pathlib import Path

from caption_flow.errors import CertificateUnfit

_LONGEST = 1 << 20  # bytes; bundles of all public authorities are a fifth of it


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


def _reason(exc: OSError | ValueError) -> str:
    return getattr(exc, "strerror", None) or str(exc)
