"""A certificate that signs itself is what every client takes, and its key is its owner's alone."""

import os
import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from caption_flow.certificates.contexts import client_context, server_context
from caption_flow.certificates.make import Made, make
from caption_flow.certificates.names import all_of
from caption_flow.errors import CaptionFlowError
from tests import require
from tests.certificates.serving import connected, serving

NAMES = all_of(("localhost", "*.lab.test", "192.0.2.7"))
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(NAMES, tmp_path / "certs")


def parsed(made: Made) -> x509.Certificate:
    return x509.load_pem_x509_certificate(made.cert.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# What is in it


def test_it_is_for_all_its_names(made: Made):
    found = parsed(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert found.get_values_for_type(x509.DNSName) == ["localhost", "*.lab.test"]
    assert found.get_values_for_type(x509.IPAddress) == [
        *map(ip_address, ("127.0.0.1", "::1", "192.0.2.7"))
    ]
    assert set(made.certificate.names) == set(NAMES)


def test_its_key_is_of_the_curve_p_256(made: Made):
    key = load_pem_private_key(made.key.read_bytes(), None)

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == parsed(made).public_key()


@pytest.mark.parametrize("days", [1, 365, 36_500])
def test_it_is_valid_for_as_long_as_was_asked(tmp_path: Path, days: int):
    made = make(NAMES, tmp_path, days=days)

    left = made.certificate.ends - datetime.now(UTC)

    assert round(left.total_seconds() / 86400, 2) == days
    assert made.certificate.lapse() == ""


def test_it_signs_no_others(made: Made):
    found = parsed(made).extensions

    assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_long_name_is_no_common_name(tmp_path: Path):
    name = ".".join(["a" * 60] * 4)

    assert make((name,), tmp_path).certificate.names == (name,)


def test_openssl_takes_it_as_strictly_as_it_can(made: Made):
    require(shutil.which("openssl"), "openssl")
    words = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "a.lab.test"]
    done = subprocess.run(
        ["openssl", "verify", *words, "-CAfile", made.cert, made.cert],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_client_that_has_it_connects(made: Made, name: str):
    async with (
        serving(server_context(made.cert, made.key)) as port,
        connected(port, made.cert, name=name) as connection,
    ):
        assert await connection.works()


async def test_client_as_strict_as_those_of_newer_python_connects(made: Made):
    strict = client_context(ca_cert=made.cert)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN

    async with (
        serving(server_context(made.cert, made.key)) as port,
        connected(port, made.cert, context=strict) as connection,
    ):
        assert await connection.works()


# Its files


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_key_is_its_owners_alone(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        made = make(NAMES, tmp_path)
    finally:
        os.umask(before)

    assert mode(made.key) == 0o600
    assert mode(made.cert) == 0o644 & ~umask


def test_key_has_never_been_anybody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever had opened it before its permissions were set would go on reading."""
    seen: list[int] = []
    opened = os.open

    def watched(path: Path, flags: int, wanted: int = 0o777) -> int:
        descriptor = opened(path, flags, wanted)
        seen.append(os.fstat(descriptor).st_mode & OTHERS)
        return descriptor

    monkeypatch.setattr("caption_flow.certificates.files.os.open", watched)
    before = os.umask(0)
    try:
        make(NAMES, tmp_path)
    finally:
        os.umask(before)

    assert sorted(seen) == [0, 0o044]  # key, certificate


def test_nothing_is_left_beside_them(made: Made):
    assert sorted(path.name for path in made.cert.parent.iterdir()) == ["cert.pem", "key.pem"]


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_what_is_there_is_not_replaced(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")

    with pytest.raises(CaptionFlowError, match=f"There is .*{name} already. Give --force"):
        make(NAMES, tmp_path)

    assert (tmp_path / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_comes_while_it_is_made_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flushed = os.fsync

    def late(descriptor: int) -> None:
        flushed(descriptor)
        (tmp_path / "key.pem").write_text("mine")

    monkeypatch.setattr("caption_flow.certificates.files.os.fsync", late)

    with pytest.raises(CaptionFlowError, match="File exists"):
        make(NAMES, tmp_path)

    assert (tmp_path / "key.pem").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


def test_what_is_there_is_replaced_by_force(made: Made):
    made.key.chmod(0o644)

    again = make(NAMES, made.cert.parent, force=True)

    assert again.certificate.serial != made.certificate.serial
    assert mode(again.key) == 0o600
    server_context(again.cert, again.key)


def test_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of somebody else")
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "key.pem").symlink_to(elsewhere)

    with pytest.raises(CaptionFlowError, match="already"):
        make(NAMES, folder)
    made = make(NAMES, folder, force=True)

    assert elsewhere.read_text() == "of somebody else"
    assert not made.key.is_symlink()


def test_link_that_leads_nowhere_is_there_all_the_same(tmp_path: Path):
    (tmp_path / "key.pem").symlink_to(tmp_path / "nowhere")

    with pytest.raises(CaptionFlowError, match="already"):
        make(NAMES, tmp_path)

    assert not (tmp_path / "nowhere").exists()


def test_folder_that_cannot_be_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CaptionFlowError, match=r"Nothing can be written to .*file/certs"):
        make(NAMES, tmp_path / "file" / "certs")


def test_folder_in_the_place_of_a_file_is_told(tmp_path: Path):
    (tmp_path / "key.pem").mkdir()

    with pytest.raises(CaptionFlowError, match="Nothing can be written"):
        make(NAMES, tmp_path, force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]
