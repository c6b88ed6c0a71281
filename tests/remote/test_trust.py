"""Whom a client believes, and what it says where it cannot or should not."""

import datetime
import logging
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from caption_flow.errors import ConfigError, ServerUnfit
from caption_flow.remote.entrance import Entrance, member_word
from caption_flow.remote.link import Link
from tests.remote.conftest import until_failed
from tests.remote.stub import StubProxy
from tests.roles import until

DAY = datetime.timedelta(days=1)


def certificate(folder: Path, *, host: str = "127.0.0.1", days: int = 30) -> Path:
    """A certificate that is signed by itself, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proxy")])
    now = datetime.datetime.now(datetime.UTC)
    san = x509.DNSName(host) if host[0].isalpha() else x509.IPAddress(ip_address(host))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "proxy.pem"
    path.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    return path


def server_side(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def believing(path: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path)


def entrance(url: str, tls: ssl.SSLContext | None = None) -> Entrance:
    return Entrance(url, "cf_secret", tls, role="worker", member="me")


async def test_certificate_that_was_given_is_believed(tmp_path: Path):
    path = certificate(tmp_path)
    async with (
        StubProxy(server_side(path)) as stub,
        Link(entrance(stub.url, believing(path))) as link,
    ):
        await stub.visit()
        assert link.failure is None


@pytest.mark.parametrize(
    ("made", "given", "words"),
    [
        ({}, False, "is signed by itself. Give its certificate"),
        ({"host": "other.example"}, True, "is for another"),
        ({"days": -1}, True, "has expired"),
    ],
)
async def test_certificate_that_is_not_believed_ends_the_link(
    tmp_path: Path, made: dict[str, object], given: bool, words: str
):
    path = certificate(tmp_path, **made)  # type: ignore[arg-type]
    async with (
        StubProxy(server_side(path)) as stub,
        Link(entrance(stub.url, believing(path if given else None))) as link,
    ):
        failure = await until_failed(link)

    assert isinstance(failure, ServerUnfit)
    assert words in str(failure)


async def test_host_of_another_name_is_told(tmp_path: Path):
    path = certificate(tmp_path)
    async with StubProxy(server_side(path)) as stub:
        url = stub.url.replace("127.0.0.1", "localhost")
        async with Link(entrance(url, believing(path))) as link:
            failure = await until_failed(link)

    assert "is for another host" in str(failure)


async def test_plain_server_is_no_reason_to_give_up(
    stub: StubProxy, caplog: pytest.LogCaptureFixture
):
    """As while a load balancer is set up; but it is said."""
    async with Link(entrance(stub.url.replace("ws:", "wss:"), believing(None))) as link:
        await until(lambda: "is it right that it is ws:// or wss://?" in caplog.text)
        assert link.failure is None


async def test_server_of_tls_is_told_to_who_speaks_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with (
        StubProxy(server_side(certificate(tmp_path))) as stub,
        Link(entrance(stub.url.replace("wss:", "ws:"))),
    ):
        await until(lambda: "Does it listen with wss://?" in caplog.text)


async def test_absent_server_is_waited_for(caplog: pytest.LogCaptureFixture):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with Link(entrance(f"ws://127.0.0.1:{port}")):
        await until(lambda: caplog.text.count("Is it up, and --server right?") > 1)


async def test_name_of_no_host_is_told(caplog: pytest.LogCaptureFixture):
    async with Link(entrance("ws://no-such-host.invalid:1")):
        await until(lambda: "No host has the name in" in caplog.text)


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("ws://project.example:8765", True),
        ("ws://192.168.0.7:8765", True),
        ("ws://localhost:8765", False),
        ("ws://127.0.0.1:8765", False),
        ("ws://[::1]:8765", False),
        ("wss://project.example:8765", False),
    ],
)
def test_token_on_a_plain_line_is_warned_of(
    caplog: pytest.LogCaptureFixture, url: str, warns: bool
):
    entrance(url, believing(None))

    assert ("unencrypted" in caplog.text) is warns


def test_trust_in_anybody_is_warned_of(caplog: pytest.LogCaptureFixture):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with caplog.at_level(logging.WARNING):
        entrance("wss://project.example", context)

    assert "is not checked" in caplog.text


@pytest.mark.parametrize("token", ["two words", "line\r\nHost: other", "caf\xe9"])
def test_token_that_is_none_is_refused(token: str):
    with pytest.raises(ConfigError, match="token"):
        Entrance("ws://localhost", token, None, role="worker", member="me")


@pytest.mark.parametrize("url", ["ws://", "ws://host:port", "ws://a b", "ws://user:word@host"])
def test_url_that_is_none_is_refused(url: str):
    with pytest.raises(ConfigError, match="server"):
        entrance(url)


def test_name_of_a_process_is_spelt_as_the_protocol_has_it():
    assert member_word("my box-worker-1a2b3c") == "my-box-worker-1a2b3c"
    assert member_word("x" * 200 + "-1a2b3c").endswith("x-1a2b3c")
    assert len(member_word("x" * 200)) == 100
