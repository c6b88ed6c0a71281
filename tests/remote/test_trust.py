"""Whom a client believes, and what it says where it cannot or should not."""

import logging
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from caption_flow.certificates.contexts import server_context
from caption_flow.errors import CertificateUnfit, ConfigError, ServerUnfit
from caption_flow.remote.entrance import Entrance, member_word
from caption_flow.remote.link import Link
from tests.certificates.pairs import Pair, pair
from tests.remote.conftest import until_failed
from tests.remote.stub import StubProxy
from tests.roles import until


def entrance(url: str, token: str = "cf_secret", **trust: Any) -> Entrance:
    return Entrance(url, token, role="worker", member="me", **trust)


def unchecked(made: Pair) -> ssl.SSLContext:
    """Load what no server of ours would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    return context


async def test_certificate_that_was_given_is_believed(tmp_path: Path):
    made = pair(tmp_path)
    async with (
        StubProxy(server_context(made.cert, made.key)) as stub,
        Link(entrance(stub.url, ca_cert=made.cert)) as link,
    ):
        await stub.visit()
        assert link.failure is None


async def test_no_certificate_is_asked_for_where_that_is_wished(tmp_path: Path):
    made = pair(tmp_path, names=["other.test"])
    async with (
        StubProxy(server_context(made.cert, made.key)) as stub,
        Link(entrance(stub.url, verify_ssl=False)) as link,
    ):
        await stub.visit()
        assert link.failure is None


@pytest.mark.parametrize(
    ("made", "given", "words"),
    [
        ({}, False, "pass --ca-cert FILE"),
        ({"names": ["other.test"]}, True, "for other.test, not for 127.0.0.1"),
        ({"begins": timedelta(days=-9), "ends": timedelta(days=-1)}, True, "expired"),
    ],
)
async def test_certificate_that_is_not_believed_ends_the_link(
    tmp_path: Path, made: dict[str, Any], given: bool, words: str
):
    files = pair(tmp_path, **made)
    async with (
        StubProxy(unchecked(files)) as stub,
        Link(entrance(stub.url, ca_cert=files.cert if given else None)) as link,
    ):
        failure = await until_failed(link)

    assert isinstance(failure, ServerUnfit)
    assert words in str(failure)
    assert failure.exit_code == 2


async def test_certificate_that_is_renewed_late_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    made = pair(tmp_path, "good")
    late = pair(tmp_path, "late", begins=timedelta(days=-9), ends=timedelta(days=-1))
    context = server_context(made.cert, made.key)
    async with StubProxy(context) as stub, Link(entrance(stub.url, ca_cert=made.cert)) as link:
        first = await stub.visit()
        context.load_cert_chain(late.cert, late.key)
        first.cut()
        await until(lambda: "certificate" in caplog.text)
        context.load_cert_chain(made.cert, made.key)
        await stub.visit(1)

        assert link.failure is None


async def test_plain_server_is_told_and_waited_for(
    stub: StubProxy, caplog: pytest.LogCaptureFixture
):
    async with Link(entrance(stub.url.replace("ws:", "wss:"))) as link:
        await until(lambda: "speaks no TLS" in caplog.text)
        assert link.failure is None


async def test_server_of_tls_is_told_to_who_speaks_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    made = pair(tmp_path)
    async with (
        StubProxy(server_context(made.cert, made.key)) as stub,
        Link(entrance(stub.url.replace("wss:", "ws:"))),
    ):
        await until(lambda: "Connect with wss://" in caplog.text)


async def test_absent_server_is_waited_for(caplog: pytest.LogCaptureFixture):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with Link(entrance(f"ws://127.0.0.1:{port}")):
        await until(lambda: caplog.text.count("Is it up, and --server right?") > 1)


async def test_name_of_no_host_is_told(caplog: pytest.LogCaptureFixture):
    async with Link(entrance("ws://no-such-host.invalid:1")):
        await until(lambda: "No host has the name in" in caplog.text)


def test_missing_certificate_is_refused_at_once(tmp_path: Path):
    with pytest.raises(CertificateUnfit, match=r"gone\.pem"):
        entrance("wss://localhost", ca_cert=tmp_path / "gone.pem")


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
    entrance(url)

    assert ("unencrypted" in caplog.text) is warns


def test_trust_in_anybody_is_warned_of(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        entrance("wss://project.example", verify_ssl=False)

    assert "is not checked" in caplog.text


@pytest.mark.parametrize("token", ["line\r\nHost: other", "caf\xe9"])
def test_token_that_is_none_is_refused(token: str):
    with pytest.raises(ConfigError, match="token"):
        entrance("ws://localhost", token)


@pytest.mark.parametrize("url", ["ws://", "ws://host:port", "ws://a b", "ws://user:word@host"])
def test_url_that_is_none_is_refused(url: str):
    with pytest.raises(ConfigError, match="server"):
        entrance(url)


def test_name_of_a_process_is_spelt_as_the_protocol_has_it():
    assert member_word("my box-worker-1a2b3c") == "my-box-worker-1a2b3c"
    assert member_word("x" * 200 + "-1a2b3c").endswith("x-1a2b3c")
    assert len(member_word("x" * 200)) == 100
