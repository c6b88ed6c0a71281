"""Certificates, looked at: what the files of a certificate and of its key hold.

What stands in a certificate was written by strangers, so its texts are short and can be shown.
"""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct

from caption_flow.certificates.files import read
from caption_flow.errors import CertificateUnfit

_DAY = 86400.0  # seconds
_LONGEST = 253  # characters of a text in a certificate that are shown; no name of a host has more
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
# What is raised for certificates that are none, or are of a kind that nobody has met.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Certificate(Struct, frozen=True):
    """What one certificate says."""

    subject: str
    names: tuple[str, ...]  # hosts and addresses that it is for
    issuer: str
    begins: datetime
    ends: datetime
    key: str  # kind of its key, such as "ECDSA P-256"
    public_key: bytes  # SubjectPublicKeyInfo, in DER
    self_signed: bool
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256, in hexadecimal with colons

    def days_left(self, now: datetime | None = None) -> float:
        """Count the days until it expires; below 0: it has."""
        return (self.ends - (now or datetime.now(UTC))).total_seconds() / _DAY

    def lapse(self, now: datetime | None = None) -> str:
        """Say why it is not valid at this time; empty: it is."""
        now = now or datetime.now(UTC)
        if now > self.ends:
            return f"expired on {spelled(self.ends)}"
        if now < self.begins:
            return f"is not valid before {spelled(self.begins)}"
        return ""

    def is_for(self, host: str) -> bool:
        """Whether it is for a host or an address, as clients compare them."""
        host = host.lower().removesuffix(".")
        address = _address(host)
        if address is not None:
            return address in self.names
        _, dot, domain = host.partition(".")
        wanted = {host, f"*.{domain}"} if dot else {host}
        return not wanted.isdisjoint(name.lower() for name in self.names)


def chain(path: Path) -> tuple[Certificate, ...]:
    """Read the certificates in a file: that of the server first, then those it was signed with."""
    data = read(path)
    if _CERTIFICATE not in data:
        raise CertificateUnfit(_no_certificate(path, data))
    try:
        return tuple(map(_looked_at, x509.load_pem_x509_certificates(data)))
    except _UNREADABLE as exc:
        raise CertificateUnfit(
            f"{path} holds a certificate that cannot be read ({shown(str(exc))})."
        ) from exc


def look(der: bytes) -> Certificate | None:
    """Look at a certificate that a server has shown; None: it is beyond us."""
    try:
        return _looked_at(x509.load_der_x509_certificate(der))
    except _UNREADABLE:
        return None


def public_half(path: Path) -> bytes:
    """Read the key in a file; answers its public half, as `Certificate.public_key` has it."""
    data = read(path)
    if _KEY not in data:
        raise CertificateUnfit(
            f"{path} holds no private key in PEM, which has a line -----BEGIN PRIVATE KEY-----."
        )
    try:
        public = load_pem_private_key(data, password=None).public_key()
    except TypeError as exc:
        raise CertificateUnfit(
            f"{path} holds a key that is encrypted, and nobody is there to type its password. "
            f"Decrypt it: openssl pkey -in {path} -out decrypted.pem"
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CertificateUnfit(f"{path} holds a key that cannot be read.") from exc
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spelled(moment: datetime) -> str:
    """Spell a time as logs do."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def shown(text: str) -> str:
    """Show a stranger's text: one line, and not long."""
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in cut)


def _looked_at(certificate: x509.Certificate) -> Certificate:
    public = certificate.public_key()
    return Certificate(
        subject=shown(certificate.subject.rfc4514_string()),
        names=_names(certificate),
        issuer=shown(certificate.issuer.rfc4514_string()),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        key=_kind(public),
        public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        self_signed=_signs_itself(certificate),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(SHA256()).hex(":").upper(),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return tuple(shown(str(name)) for name in (*hosts, *addresses))


def _kind(public: object) -> str:
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(public.curve.name, public.curve.name)}"
    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA {public.key_size}"
    if isinstance(public, dsa.DSAPublicKey):
        return f"DSA {public.key_size}"
    return type(public).__name__.strip("_").removesuffix("PublicKey")


def _signs_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True


def _address(host: str) -> str | None:
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def _no_certificate(path: Path, data: bytes) -> str:
    if _KEY in data:
        return f"{path} holds a key and no certificate; give the file of the certificate."
    if data.startswith(b"\x30"):
        return (
            f"{path} is a certificate in DER. Make it PEM: "
            f"openssl x509 -inform der -in {path} -out certificate.pem"
        )
    return f"{path} holds no certificate in PEM, which has a line -----BEGIN CERTIFICATE-----."
