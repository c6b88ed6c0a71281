"""Certificates, signed by Let's Encrypt: asked for by certbot, where that is installed.

certbot answers the authority on port 80 of this host, and keeps what it knows below our folder, so
that it needs no rights of an administrator but for that port.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from caption_flow.certificates.contexts import check_pair
from caption_flow.certificates.look import shown
from caption_flow.certificates.make import Made
from caption_flow.certificates.names import unpublic
from caption_flow.errors import CaptionFlowError, ConfigError

_EMAIL = re.compile(r"[^@\s-][^@\s]*@[^@\s]+")
_LAST_LINES = 15


def obtain(
    names: Sequence[str], email: str, folder: Path, *, staging: bool = False, force: bool = False
) -> Made:
    """Get a certificate for public names; one that is still good for long is kept.

    `staging`: from the authority's own rehearsals, which no client believes. `force`: a new one.
    """
    _refuse(names, email)
    certbot = shutil.which("certbot")
    if certbot is None:
        raise ConfigError(
            "certbot is not installed, which asks Let's Encrypt. Install it (apt install certbot), "
            "or make a certificate that clients are given as a file, with --self-signed."
        )
    home = folder.absolute() / "letsencrypt"
    command = [certbot, *_arguments(names, email, home)]
    command += ["--staging"] if staging else []
    _run([*command, "--force-renewal" if force else "--keep-until-expiring"])
    live = home / "config" / "live" / names[0]
    cert, key = live / "fullchain.pem", live / "privkey.pem"
    return Made(cert, key, check_pair(cert, key))


def _arguments(names: Sequence[str], email: str, home: Path) -> list[str]:
    folders = {f"--{kind}-dir": str(home / kind) for kind in ("config", "work", "logs")}
    return [
        *("certonly", "--standalone", "--non-interactive", "--agree-tos", "--email", email),
        *(word for name in names for word in ("--domain", name)),
        *("--cert-name", names[0]),  # the name of the folder that it goes to
        *(word for option in folders.items() for word in option),
    ]


def _refuse(names: Sequence[str], email: str) -> None:
    for name in names:
        if why := unpublic(name):
            raise ConfigError(
                f"{name} {why}, and Let's Encrypt signs no certificate for it this way. "
                "Give --self-signed for one that signs itself."
            )
    if not _EMAIL.fullmatch(email):
        raise ConfigError(f'--email is "{shown(email)}", which is no address of mail.')


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the words are checked
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as exc:
        raise CaptionFlowError(f"{command[0]} cannot be run ({exc.strerror}).") from exc
    if done.returncode:
        raise CaptionFlowError(
            f"certbot got no certificate (exit code {done.returncode}). It said last:\n"
            f"{_last_words(done.stdout)}"
        )


def _last_words(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return "\n".join(f"  {shown(line)}" for line in lines[-_LAST_LINES:]) or "  nothing"
