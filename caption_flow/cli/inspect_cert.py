"""`caption-flow inspect_cert`: say what a certificate is good for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from caption_flow.certificates.inspection import Inspection, inspect
from caption_flow.certificates.look import Certificate, spelled
from caption_flow.certificates.names import checked
from caption_flow.cli.options import logged
from caption_flow.cli.printing import printing

EXIT_UNFIT = 1

_FITS = {True: "fits", False: "does not fit"}


@click.command("inspect_cert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="Key that should fit it.")
@click.option("--host", metavar="NAME", help="Name or address that it should be for.")
@click.option("--json", "in_json", is_flag=True, help="Print one JSON document.")
@logged
def command(file: Path, key: Path | None, host: str | None, in_json: bool) -> int:
    """Show the certificates in FILE, the server's own first.

    Exits with 1 when one is not valid now, or does not fit the key or the host.
    """
    found = inspect(file, key, None if host is None else checked(host))
    with printing():
        if in_json:
            click.echo(msgspec.json.format(msgspec.json.encode(_document(found))))
        else:
            click.echo("\n".join(_lines(found)))
    return EXIT_UNFIT if found.faults else 0


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "good": not found.faults,
        "faults": found.faults,
        "key_fits": found.key_fits,
        "host_fits": found.host_fits,
        "certificates": [
            {
                "subject": one.subject,
                "names": one.names,
                "issuer": one.issuer,
                "self_signed": one.self_signed,
                "begins": one.begins,
                "ends": one.ends,
                "days_left": round(one.days_left(), 1),
                "key": one.key,
                "serial": one.serial,
                "sha256": one.fingerprint,
            }
            for one in found.certificates
        ],
    }


def _lines(found: Inspection) -> Iterator[str]:
    for place, certificate in enumerate(found.certificates, 1):
        if place > 1:
            yield f"\nCertificate {place}, sent along:"
        yield from _table(certificate)
    if found.key_fits is not None:
        yield f"the key       {_FITS[found.key_fits]}"
    if found.host_fits is not None:
        yield f"the host      {_FITS[found.host_fits]}"
    yield f"\n{' '.join(found.faults) or 'It is good.'}"


def _table(one: Certificate) -> Iterator[str]:
    yield f"subject       {one.subject}"
    yield f"for           {', '.join(one.names) or 'no host'}"
    yield f"issuer        {'itself (self-signed)' if one.self_signed else one.issuer}"
    yield f"valid from    {spelled(one.begins)}"
    yield f"valid until   {spelled(one.ends)} ({_left(one.days_left())})"
    yield f"kind of key   {one.key}"
    yield f"serial        {one.serial}"
    yield f"SHA-256       {one.fingerprint}"


def _left(days: float) -> str:
    return f"{days:,.0f} days left" if days >= 0 else f"{-days:,.0f} days ago"
