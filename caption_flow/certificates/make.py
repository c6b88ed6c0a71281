"""Certificates, made: one that signs itself, for a lab or a proxy whose clients know it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from caption_flow.certificates.files import OTHERS_READ, OWNER_ONLY, Content, write
from caption_flow.certificates.look import Certificate, chain
from caption_flow.errors import CaptionFlowError

DAYS = 365
MOST_DAYS = 36_500
_LONGEST_SUBJECT = 64  # characters of a common name, by X.520
_SLACK = timedelta(hours=1)  # by which clocks of clients may be behind


class Made(Struct, frozen=True):
    """A certificate and its key that are there now."""

    cert: Path
    key: Path
    certificate: Certificate


def make(names: Sequence[str], folder: Path, *, days: int = DAYS, force: bool = False) -> Made:
    """Write cert.pem and key.pem for these names; `force`: in the place of others."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    _refuse_others(cert, key, force=force)
    private = ec.generate_private_key(ec.SECP256R1())
    pem = _signed(names, private, days).public_bytes(Encoding.PEM)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = {key: Content(secret, OWNER_ONLY), cert: Content(pem, OTHERS_READ)}
    write(contents, over=force)
    return Made(cert, key, chain(cert)[0])


def _refuse_others(*paths: Path, force: bool) -> None:
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise CaptionFlowError(
            f"There is {' and '.join(map(str, there))} already. Give --force to replace what is "
            "there, or another --output-dir."
        )


def _signed(
    names: Sequence[str], private: ec.EllipticCurvePrivateKey, days: int
) -> x509.Certificate:
    public, now = private.public_key(), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(names[0]))
        .issuer_name(_subject(names[0]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + timedelta(days=days))
    )
    for extension, critical in _extensions(names, public):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private, SHA256())


def _extensions(
    names: Sequence[str], public: ec.EllipticCurvePublicKey
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """Say that it is a server's and signs nothing else, should its key be stolen."""
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    return (
        (x509.SubjectAlternativeName([_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.KeyUsage(**usage), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (identifier, False),
        (authority, False),
    )


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _subject(name: str) -> x509.Name:
    short = name if len(name) <= _LONGEST_SUBJECT else "caption-flow"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
