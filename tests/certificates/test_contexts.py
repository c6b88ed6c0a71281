"""A pair that clients would take is served, and any other is refused in words."""

import asyncio
import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from caption_flow.certificates.contexts import client_context, server_context
from caption_flow.errors import CertificateUnfit
from tests import require
from tests.certificates.pairs import DAY, authority, pair
from tests.certificates.serving import connected, serving


def refusal(cert: Path, key: Path) -> str:
    with pytest.raises(CertificateUnfit) as caught:
        server_context(cert, key)
    return str(caught.value)


# The server


@pytest.mark.parametrize("bits", [None, 2048])
async def test_pair_is_served(tmp_path: Path, bits: int | None):
    made = pair(tmp_path, bits=bits)

    async with (
        serving(server_context(made.cert, made.key)) as port,
        connected(port, made.cert) as connection,
    ):
        assert await connection.works()
        assert connection.serial == made.serial


async def test_certificate_of_an_authority_is_served_with_it(tmp_path: Path):
    signer, file = authority(tmp_path)
    made = pair(tmp_path, authority=signer)

    async with (
        serving(server_context(made.cert, made.key)) as port,
        connected(port, file) as connection,
    ):
        assert await connection.works()


@pytest.mark.parametrize(("version", "taken"), [("-tls1_1", False), ("-tls1_2", True)])
async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, version: str, taken: bool):
    require(shutil.which("openssl"), "openssl")
    made = pair(tmp_path)
    async with serving(server_context(made.cert, made.key)) as port:
        # SECLEVEL=0: the client would take it.
        words = ["s_client", "-connect", f"127.0.0.1:{port}", version]
        done = await _openssl(*words, "-cipher", "ALL:@SECLEVEL=0", "-verify_quiet")

    assert (done == 0) is taken


async def _openssl(*words: str) -> int:
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return await process.wait()


def test_key_to_another_certificate_is_refused(tmp_path: Path):
    made, other = pair(tmp_path), pair(tmp_path, "other")

    said = refusal(made.cert, other.key)

    assert f"{other.key} is not the key to {made.cert}" in said


def test_expired_certificate_is_refused(tmp_path: Path):
    made = pair(tmp_path, begins=-2 * DAY, ends=-DAY)

    said = refusal(made.cert, made.key)

    assert f"{made.cert} expired on 20" in said
    assert "Renew it" in said


def test_certificate_of_the_future_is_refused(tmp_path: Path):
    made = pair(tmp_path, begins=timedelta(hours=1))

    said = refusal(made.cert, made.key)

    assert "is not valid before" in said
    assert "clock" in said


def test_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path):
    made = pair(tmp_path, password=b"secret")

    said = refusal(made.cert, made.key)

    assert "encrypted" in said
    assert f"openssl pkey -in {made.key}" in said


def test_key_that_is_encrypted_in_the_older_way_is_refused_likewise(tmp_path: Path):
    require(shutil.which("openssl"), "openssl")
    made = pair(tmp_path)
    words = ["ec", "-aes256", "-passout", "pass:secret", "-in", made.key, "-out", made.key]
    subprocess.run(["openssl", *words], check=True, capture_output=True)

    assert "encrypted" in refusal(made.cert, made.key)


def test_key_that_openssl_finds_too_short_is_refused(tmp_path: Path):
    made = pair(tmp_path, bits=1024)

    assert "EE_KEY_TOO_SMALL" in refusal(made.cert, made.key)


FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read (No such file or directory)"),
    "empty": (b"", "holds no certificate"),
    "other": (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA", "holds no certificate"),
    "garbled": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "holds a certificate that cannot be read",
    ),
    "cut": (b"-----BEGIN CERTIFICATE-----\nMIIB", "holds a certificate that cannot be read"),
    "long": (b"-----BEGIN CERTIFICATE-----\n" * 50_000, "more than 1 MiB"),
    "der": (b"\x30\x82\x01\x01", "openssl x509 -inform der"),
}


@pytest.mark.parametrize("kind", FILES)
def test_file_that_is_no_certificate_is_told(tmp_path: Path, kind: str):
    made = pair(tmp_path)
    content, said = FILES[kind]
    file = tmp_path / kind
    if content is not None:
        file.write_bytes(content)

    assert said in refusal(file, made.key)


def test_folder_is_no_certificate(tmp_path: Path):
    assert "Is a directory" in refusal(tmp_path, pair(tmp_path).key)


def test_files_given_in_each_others_place_are_told(tmp_path: Path):
    made = pair(tmp_path)

    assert "holds a key and no certificate" in refusal(made.key, made.cert)
    assert "holds no private key" in refusal(made.cert, made.cert)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_file_that_is_no_key_is_told(tmp_path: Path, content: bytes):
    made = pair(tmp_path)
    made.key.write_bytes(content)

    assert str(made.key) in refusal(made.cert, made.key)


# The client


async def test_client_believes_nobody_unknown(tmp_path: Path):
    made = pair(tmp_path)
    async with serving(server_context(made.cert, made.key)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await _connect(port, client_context())


async def test_client_believes_those_in_a_file_alone(tmp_path: Path):
    made, other = pair(tmp_path), pair(tmp_path, "other")
    async with serving(server_context(made.cert, made.key)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await _connect(port, client_context(ca_cert=other.cert))


async def test_client_believes_anybody_when_told_so(tmp_path: Path):
    made = pair(tmp_path, names=["elsewhere.test"])

    async with (
        serving(server_context(made.cert, made.key)) as port,
        connected(port, None) as connection,
    ):
        assert await connection.works()


@pytest.mark.parametrize("kind", FILES)
def test_file_that_holds_nobody_to_believe_is_told(tmp_path: Path, kind: str):
    content, said = FILES[kind]
    file = tmp_path / kind
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(CertificateUnfit) as caught:
        client_context(ca_cert=file)

    assert said in str(caught.value)


async def _connect(port: int, context: ssl.SSLContext) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.close()
