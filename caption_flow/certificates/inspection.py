"""Certificates, inspected: whether a file is good for a server, its key and its name."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from caption_flow.certificates.look import Certificate, chain, public_half


class Inspection(Struct, frozen=True):
    """What was found."""

    certificates: tuple[Certificate, ...]  # the server's own first
    key_fits: bool | None  # None: no key was given
    host_fits: bool | None  # likewise
    faults: tuple[str, ...]  # sentences; none: all is well


def inspect(file: Path, key: Path | None = None, host: str | None = None) -> Inspection:
    """Look at the certificates in a file, and whether a key and a host fit the first."""
    certificates = chain(file)
    first = certificates[0]
    key_fits = None if key is None else public_half(key) == first.public_key
    host_fits = None if host is None else first.is_for(host)
    faults = list(_lapsed(file, certificates))
    if key_fits is False:
        faults.append(f"{key} is not the key to it.")
    if host_fits is False:
        faults.append(f"It is not for {host}, but for {', '.join(first.names) or 'no host'}.")
    return Inspection(certificates, key_fits, host_fits, tuple(faults))


def _lapsed(file: Path, certificates: tuple[Certificate, ...]) -> Iterator[str]:
    for place, certificate in enumerate(certificates, 1):
        if lapse := certificate.lapse():
            which = f"{file}" if place == 1 else f"Certificate {place} in {file}"
            yield f"{which} {lapse}."
