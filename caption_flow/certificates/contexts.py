"""Certificates, loaded: what a server shows, and what a client believes.

A server is given a pair, its certificate and the key to that, and is refused one that no client
would take. A client checks who it speaks to, unless it is told not to.
"""

import ssl
from pathlib import Path

from httpcore2 import default_ssl_context

from caption_flow.certificates.look import Certificate, chain, public_half
from caption_flow.errors import CertificateUnfit


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Load a certificate and its key; raises CertificateUnfit where clients could not use them."""
    check_pair(cert, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # A password, or OpenSSL would ask for one on the terminal should the file have changed.
        context.load_cert_chain(cert, key, password="")
    except OSError as exc:  # those of OpenSSL too
        raise CertificateUnfit(
            f"OpenSSL does not take {cert} with {key}: {exc.strerror or exc}."
        ) from exc
    return context


def check_pair(cert: Path, key: Path) -> Certificate:
    """Refuse a certificate that is not valid now, or a key to another; answers the certificate."""
    first, *_ = chain(cert)
    if public_half(key) != first.public_key:
        raise CertificateUnfit(
            f"{key} is not the key to {cert}. Give the two that were made together; in a file of "
            "several certificates the server's own comes first."
        )
    if lapse := first.lapse():
        raise CertificateUnfit(
            f"{cert} {lapse}. Renew it, or see whether the clock of this host is right."
        )
    return first


def client_context(*, verify_ssl: bool = True, ca_cert: Path | None = None) -> ssl.SSLContext:
    """Make what a client believes: public authorities, or those in a file alone, or anybody."""
    if not verify_ssl:
        return _believing_anybody()
    context = _believing(ca_cert) if ca_cert else default_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _believing_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _believing(ca_cert: Path) -> ssl.SSLContext:
    chain(ca_cert)  # whose errors are better than those of OpenSSL
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # public authorities write none there any more
    try:
        context.load_verify_locations(ca_cert)
    except OSError as exc:
        raise CertificateUnfit(f"OpenSSL does not take {ca_cert}: {exc.strerror or exc}.") from exc
    return context
