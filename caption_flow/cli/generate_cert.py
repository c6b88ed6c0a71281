"""`caption-flow generate_cert`: make a certificate for a proxy, or get one signed."""

from pathlib import Path

import click
import yaml

from caption_flow.certificates.letsencrypt import obtain
from caption_flow.certificates.look import spelled
from caption_flow.certificates.make import DAYS, MOST_DAYS, Made, make
from caption_flow.certificates.names import all_of
from caption_flow.cli.options import logged
from caption_flow.cli.printing import printing


@click.command("generate_cert")
@click.option("--self-signed", is_flag=True, help="One that clients must be given as a file.")
@click.option(
    "--domain",
    "domains",
    metavar="NAME",
    multiple=True,
    required=True,
    help="Name or address by which clients connect; may be repeated.",
)
@click.option("--email", metavar="ADDRESS", help="Where Let's Encrypt writes to.")
@click.option("--staging", is_flag=True, help="Rehearse with Let's Encrypt; no client believes it.")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("certs"),
    show_default=True,
    help="Folder for certificate and key.",
)
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    help=f"How long it is valid, if self-signed.  [default: {DAYS}]",
)
@click.option("--force", is_flag=True, help="Make a new one, in the place of what is there.")
@logged
def command(
    self_signed: bool,
    domains: tuple[str, ...],
    email: str | None,
    staging: bool,
    output_dir: Path,
    days: int | None,
    force: bool,
) -> None:
    """Make a certificate for a proxy.

    With --self-signed it is made here, and clients are given its file (--ca-cert). Without, Let's
    Encrypt signs it, asked by certbot, for public names of this host, whose port 80 must be free.
    """
    names = all_of(domains)
    if self_signed:
        _only_without(email=email, staging=staging)
        made = make(names, output_dir, days=days or DAYS, force=force)
    else:
        if email is None:
            raise click.UsageError(
                "Give --self-signed, or --email for a certificate from Let's Encrypt."
            )
        if days is not None:
            raise click.UsageError("--days is for --self-signed; Let's Encrypt decides itself.")
        made = obtain(names, email, output_dir, staging=staging, force=force)
    with printing():
        click.echo(_told(made), nl=False)


def _only_without(**options: object) -> None:
    for name, given in options.items():
        if given:
            raise click.UsageError(f"--{name} is for Let's Encrypt, and not for --self-signed.")


def _told(made: Made) -> str:
    """Spell the lines for the document of the proxy, and what is to be known of it."""
    paths = {"cert": str(made.cert.absolute()), "key": str(made.key.absolute())}
    lines = yaml.safe_dump(paths, allow_unicode=True, width=1_000_000)
    found = made.certificate
    return (
        f"{lines}# For {', '.join(found.names)}; valid until {spelled(found.ends)}.\n"
        f"# SHA-256 {found.fingerprint}\n"
    )
