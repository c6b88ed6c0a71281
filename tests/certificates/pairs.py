"""Pairs of certificate and key of every kind, good ones and others."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from msgspec import Struct

DAY = timedelta(days=1)
LOCAL = ("localhost", "127.0.0.1")


class Pair(Struct, frozen=True):
    """Two files."""

    cert: Path
    key: Path

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.cert.read_bytes())[0]

    @property
    def serial(self) -> int:
        return self.certificate.serial_number


class Authority(Struct, frozen=True):
    """Who signs certificates."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def pair(
    folder: Path,
    stem: str = "pair",
    *,
    names: Sequence[str] = LOCAL,
    begins: timedelta = -DAY,  # from now
    ends: timedelta = 30 * DAY,
    subject: str = "localhost",
    bits: int | None = None,  # of RSA; none: ECDSA
    password: bytes | None = None,
    authority: Authority | None = None,
) -> Pair:
    """Write one, signed by itself or by an authority."""
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, key.public_key(), begins, ends)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_name, names))), False)
    if authority:
        signed = builder.issuer_name(authority.cert.subject).sign(authority.key, SHA256())
    else:
        signed = builder.issuer_name(_subject(subject)).sign(key, SHA256())
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    made = Pair(folder / f"{stem}.pem", folder / f"{stem}.key")
    pem = signed.public_bytes(Encoding.PEM)
    if authority:
        pem += authority.cert.public_bytes(Encoding.PEM)
    made.cert.write_bytes(pem)
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return made


def authority(folder: Path) -> tuple[Authority, Path]:
    """Make one, and the file that clients get."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder("Lab authority", key.public_key(), -DAY, 30 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    cert = builder.issuer_name(_subject("Lab authority")).sign(key, SHA256())
    file = folder / "authority.pem"
    file.write_bytes(cert.public_bytes(Encoding.PEM))
    return Authority(cert, key), file


def _builder(
    subject: str,
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    begins: timedelta,
    ends: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(subject))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
