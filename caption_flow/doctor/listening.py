"""Doctor, where a proxy is to listen: its certificate, its key and its port."""

import errno
import socket
from contextlib import suppress
from pathlib import Path

from caption_flow.certificates.contexts import server_context
from caption_flow.certificates.look import Certificate, chain
from caption_flow.doctor.finding import Finding, ok, problem, told, warning
from caption_flow.errors import CertificateUnfit

CERTIFICATE, PORT = "certificate", "port"
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


def check_port(host: str, port: int) -> Finding:
    """Look whether a proxy could listen there; nothing comes in meanwhile."""
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
        cure = "Mend host: 0.0.0.0 for all that this host has."
        return problem(PORT, f"No address has the name {host}.", cure)
    except OSError as exc:
        return _refused(host, port, exc)
    return ok(PORT, f"A proxy can listen on {host}, port {port}.")


def _refused(host: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        said = f"Something listens on port {port} of {host} already."
        cure = "If that is no proxy of this job, end it (ss -ltnp names it), or set another port."
        return warning(PORT, said, cure)
    if error.errno == errno.EADDRNOTAVAIL:
        return problem(PORT, f"This host has no address {host}.", "Mend host, as 0.0.0.0 for all.")
    if error.errno in {errno.EACCES, errno.EPERM} and port < _LOWEST_FREE:
        said = f"This user may not listen on port {port}."
        return problem(PORT, said, f"Set a port of {_LOWEST_FREE} or more.")
    said = f"A proxy cannot listen on port {port} of {host}: {error.strerror}."
    return problem(PORT, said, "Set another host or port.")
