"""Doctor, where something is to listen: its port, and of a proxy its certificate and key."""

import errno
import socket
from contextlib import suppress
from pathlib import Path

from caption_flow.certificates.contexts import server_context
from caption_flow.certificates.look import Certificate, chain
from caption_flow.doctor.finding import Finding, ok, problem, told, warning
from caption_flow.errors import CertificateUnfit

CERTIFICATE, PORT, METRICS = "certificate", "port", "metrics port"
SOON = 14  # days, in which a certificate should have been renewed by itself
_MAKE = "Make a pair: caption-flow generate_cert."
_LOWEST_FREE = 1024  # port that anybody may take


def check_certificate(cert: Path, key: Path) -> Finding:
    """Look whether a proxy could show it."""
    try:
        server_context(cert, key)
        first: Certificate = chain(cert)[0]
    except CertificateUnfit as exc:
        return told(CERTIFICATE, "problem", exc, _MAKE)
    left = first.days_left()
    names = ", ".join(first.names) or "no host"
    said = f"{cert} is for {names}, and good for {left:,.0f} days."
    if left < SOON:
        return warning(CERTIFICATE, said, f"Renew it in time. {_MAKE}")
    return ok(CERTIFICATE, said)


def check_port(host: str, port: int, *, check: str = PORT, who: str = "a proxy") -> Finding:
    """Look whether `who` could listen there; nothing comes in meanwhile."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    with suppress(OSError):
                        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                taken.bind(address)
    except socket.gaierror:
        cure = "Mend the host: 0.0.0.0 for all that this one has."
        return problem(check, f"No address has the name {host}.", cure)
    except OSError as exc:
        return _refused(check, host, port, who, exc)
    return ok(check, f"{who.capitalize()} can listen on {host}, port {port}.")


def _refused(check: str, host: str, port: int, who: str, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        said = f"Something listens on port {port} of {host} already."
        cure = f"If that is not {who} of this job, end it (ss -ltnp names it), or set another port."
        return warning(check, said, cure)
    if error.errno == errno.EADDRNOTAVAIL:
        return problem(check, f"This host has no address {host}.", "Mend it, as 0.0.0.0 for all.")
    if error.errno in {errno.EACCES, errno.EPERM} and port < _LOWEST_FREE:
        said = f"This user may not listen on port {port}."
        return problem(check, said, f"Set a port of {_LOWEST_FREE} or more.")
    said = f"{who.capitalize()} cannot listen on port {port} of {host}: {error.strerror}."
    return problem(check, said, "Set another host or port.")
