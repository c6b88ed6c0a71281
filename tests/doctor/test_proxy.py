"""The doctor and a proxy, a real one: its certificate, and what it says to a token."""

import socket
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from tests.certificates.pairs import DAY, Pair, pair
from tests.doctor.practice import Practice
from tests.e2e.desk import Desk, Running, wait_until
from tests.redis_server import free_port

WORKER, FEEDER = "cf_the-token-of-ann-01", "cf_the-token-of-dora-02"
DOCUMENT = f"""
job: photos
engine: simulated
no_ssl: true
auth:
  worker_tokens: [{{name: ann, token: {WORKER}}}]
  feeder_tokens: [{{name: dora, token: {FEEDER}}}]
"""


class Gate:
    """A job, its proxy, and who stands before it."""

    def __init__(self, desk: Desk, practice: Practice, redis_url: str) -> None:
        self.practice = practice
        self.port = free_port()
        self._desk = desk
        self._redis = ("--redis", redis_url)
        (desk.folder / "job.yaml").write_text(DOCUMENT)

    def open(self, *flags: object) -> Running:
        fed = self._desk.run("feed", self.practice.photos, "--config", "job.yaml", *self._redis)
        assert fed.code == 0, fed.words
        listen = ("--host", "127.0.0.1", "--port", self.port)
        proxy = self._desk.start("proxy", "--config", "job.yaml", *self._redis, *listen, *flags)
        wait_until(lambda: "Serving job" in proxy.out or proxy.ended, "a proxy that listens")
        return proxy

    def ask(self, token: str, scheme: str = "ws", *flags: object):
        server = f"{scheme}://localhost:{self.port}"
        return self.practice.examine("--server", server, "--token", token, *flags)


@pytest.fixture
def gate(desk: Desk, practice: Practice, redis_url: str) -> Iterator[Gate]:
    return Gate(desk, practice, redis_url)


def test_proxy_says_what_it_makes_of_tokens(gate: Gate):
    """All in one: opening a proxy takes longer than asking it."""
    gate.open()

    good, feeder = gate.ask(WORKER), gate.ask(FEEDER)
    wrong = gate.ask("cf_of-nobody-at-all-000")
    unfit = gate.ask(FEEDER, "ws", "--role", "worker")

    place = f"ws://localhost:{gate.port}"
    assert (good.code, good.bad()) == (0, [])
    assert good.of("proxy")["said"] == (
        f"{place} takes the token for that of ann, as worker of the job photos."
    )
    # What is to be done the proxy tells, and how late it is.
    assert good.of("engine")["said"].startswith("The engine is simulated")
    assert "the proxy and this host are within" in good.of("clocks")["said"]
    assert "for that of dora, as feeder of the job" in feeder.of("proxy")["said"]
    [lacking] = unfit.bad()
    assert lacking["said"] == (
        "The token is for the role feeder, and not for what is asked: worker."
    )
    assert "a token of that role" in lacking["cure"]
    said, cure = wrong.only("proxy", "problem")
    assert said == (f"{place} does not accept the token: it is unknown there, or has expired.")
    assert cure.startswith("Check --token or CAPTION_FLOW_TOKEN")


def test_proxy_that_does_not_answer_is_found(gate: Gate):
    said, cure = gate.ask(WORKER).only("proxy", "problem")

    assert said == f"No answer from ws://localhost:{gate.port}."
    assert cure == "Is it up, and --server right?"


def test_address_that_is_none_is_found(gate: Gate):
    report = gate.practice.examine("--server", "wss://u@h", "--token", WORKER)

    said, cure = report.only("proxy", "problem")
    assert "server" in said
    assert cure


@contextmanager
def _showing(shown: Pair) -> Iterator[int]:
    """Serve TLS with a certificate, whatever that is worth."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)

    class Shakes(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shakes) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_certificate_that_has_expired_is_found(practice: Practice):
    """Shown by whoever answers there: no proxy of ours would start with it."""
    old = pair(practice.folder, begins=-9 * DAY, ends=-DAY)
    with _showing(old) as port:
        report = practice.examine(
            "--server", f"wss://localhost:{port}", "--token", WORKER, "--ca-cert", old.cert
        )

    said, cure = report.only("proxy", "problem")
    assert said.startswith(f"The certificate of localhost:{port}, or one that it was signed with,")
    assert "expired on" in said
    assert "the operator of the proxy must renew the certificate" in cure
