"""A proxy over TLS, and workers that come to it from elsewhere, as processes."""

import asyncio
import shutil
import socket
import ssl

import pytest
from cryptography import x509

from caption_flow.wire.frames import Hello, Welcome
from tests.certificates.pairs import DAY, pair
from tests.certificates.serving import serving
from tests.cli.test_mistakes import assert_refused
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, Running, wait_until
from tests.e2e.pictures import digests, draw, rows, said
from tests.proxy.client import RawClient

__all__ = ["desk"]

TOKEN = "cf_" + "a" * 43
DOCUMENT = f"""
engine: simulated
no_ssl: false
auth:
  worker_tokens: [{{name: ann, token: {TOKEN}}}]
"""


HELLO = Hello("worker", "m1", "host", 1, "test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
        return port


class Lab:
    """A job on a Redis, and a proxy to it."""

    def __init__(self, desk: Desk, redis_url: str) -> None:
        self.desk = desk
        self.redis = ("--redis", redis_url)
        self.pair = pair(desk.folder, names=["localhost"])
        self.port = free_port()
        (desk.folder / "job.yaml").write_text(DOCUMENT)
        self.document = ("--config", "job.yaml", *self.redis)

    def proxy(self, *flags: str) -> Running:
        """Start one, and wait until it listens."""
        listen = ("--host", "127.0.0.1", "--port", self.port, "--job", "photos")
        running = self.desk.start("proxy", *self.document, *listen, *flags)
        wait_until(lambda: "Serving job" in running.out or running.ended, "a proxy that listens")
        return running

    def proxy_with_tls(self) -> Running:
        running = self.proxy("--cert", str(self.pair.cert), "--key", str(self.pair.key))
        assert "wss://" in running.out, running.err
        return running

    def worker(self, url: str, *flags: str) -> Running:
        """Start one that comes from elsewhere."""
        server = ("--server", url.format(port=self.port), "--exit-when-done")
        return self.desk.start("worker", *server, *flags, environ={"CAPTION_FLOW_TOKEN": TOKEN})

    def refused(self, worker: Running, *words: str) -> None:
        """The worker says this and ends, since waiting would not help."""
        assert_refused(worker.wait(), 2, *words)
        self.told(worker, *words)

    def told(self, worker: Running, *words: str) -> None:
        """The worker says this, and no token and nothing of Python's."""
        wait_until(
            lambda: all(word in worker.err for word in words) or worker.ended,
            f"a worker that says {words}",
        )
        assert [word for word in words if word not in worker.err] == [], worker.err
        assert TOKEN not in worker.err + worker.out
        assert "Traceback" not in worker.err

    def serial(self) -> int:
        """Of the certificate that a new connection is shown."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture
def lab(desk: Desk, redis_url: str) -> Lab:
    return Lab(desk, redis_url)


def test_workers_from_elsewhere_caption_over_tls(lab: Lab):
    """One believes the certificate that it was given, one believes anybody, and is warned."""
    images = draw(lab.desk.folder / "photos", 8)
    fed = lab.desk.run("feed", images, *lab.document)
    lab.proxy_with_tls()
    trusting = lab.worker("wss://localhost:{port}", "--ca-cert", str(lab.pair.cert))
    careless = lab.worker("wss://127.0.0.1:{port}", "--no-verify-ssl")
    sink = lab.desk.start("sink", *lab.document, "--job", "photos", "--exit-when-done")

    ended = [trusting.wait(), careless.wait(), sink.wait()]

    assert [end.code for end in (fed, *ended)] == [0] * 4, ended
    found = rows(lab.desk.folder / "caption_data" / "photos")
    assert said(found) == sorted(digests(images).items())
    assert {row["contributor"] for row in found} == {"ann"}
    assert "is not checked" not in trusting.err
    assert "is not checked" in careless.err


async def test_renewed_certificate_is_shown_while_connections_go_on(lab: Lab):
    proxy = lab.proxy_with_tls()
    old, trusted = lab.pair.serial, lab.desk.folder / "old.pem"
    shutil.copyfile(lab.pair.cert, trusted)
    context = ssl.create_default_context(cafile=trusted)
    before = await RawClient.open(f"wss://localhost:{lab.port}", TOKEN, ssl=context)
    assert lab.serial() == old

    new = pair(lab.desk.folder, "new")
    serial = new.serial
    new.key.replace(lab.pair.key)
    new.cert.replace(lab.pair.cert)
    await asyncio.to_thread(wait_until, lambda: lab.serial() == serial, "the new certificate")

    await before.say(HELLO)
    assert (await before.hear(Welcome)).contributor == "ann"
    await before.connection.close()
    assert not proxy.ended
    assert f"serial {serial:x}" in proxy.err


def test_bad_new_pair_is_told_by_the_proxy_and_the_old_one_shown(lab: Lab):
    proxy, old = lab.proxy_with_tls(), lab.pair.serial

    pair(lab.desk.folder, "new").cert.replace(lab.pair.cert)
    wait_until(lambda: "is not the key to" in proxy.err, "a word on the key")

    assert lab.serial() == old


def test_certificate_that_has_expired_is_refused_by_the_proxy(lab: Lab):
    made = pair(lab.desk.folder, "late", begins=-2 * DAY, ends=-DAY)

    done = lab.proxy("--cert", str(made.cert), "--key", str(made.key)).wait()

    assert_refused(done, 2, f"{made.cert} expired on")


# What a worker says that does not get in


def test_worker_that_does_not_get_in_says_why(lab: Lab):
    lab.proxy_with_tls()
    trusted = ("--ca-cert", str(lab.pair.cert))
    other = pair(lab.desk.folder, "other").cert
    address = lab.worker("wss://127.0.0.1:{port}", *trusted)
    unknown = lab.worker("wss://localhost:{port}")
    changed = lab.worker("wss://localhost:{port}", "--ca-cert", str(other))
    absent = lab.worker("wss://localhost:{port}", "--ca-cert", "no.pem")
    plain = lab.worker("ws://localhost:{port}")

    place = f"localhost:{lab.port} shows a self-signed certificate"
    lab.refused(address, "shows a certificate for localhost, not for 127.0.0.1", "generate_cert")
    lab.refused(unknown, place, "--ca-cert FILE", "--no-verify-ssl")
    lab.refused(changed, place, f"neither in {other}")
    lab.refused(absent, "no.pem cannot be read")
    lab.told(plain, "speaks TLS. Connect with wss:// instead of ws://")


async def test_certificate_that_has_expired_is_told_and_ends_the_worker(lab: Lab):
    """The proxy itself would not have begun with it."""
    made = pair(lab.desk.folder, "late", begins=-2 * DAY, ends=-DAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    async with serving(context) as lab.port:
        worker = lab.worker("wss://localhost:{port}", "--ca-cert", str(made.cert))

        await asyncio.to_thread(lab.refused, worker, "expired on", "must renew the certificate")


def test_wss_instead_of_ws_is_told(lab: Lab):
    proxy = lab.proxy("--no-ssl")
    worker = lab.worker("wss://localhost:{port}")

    lab.told(worker, "speaks no TLS. Connect with ws://")
    assert not proxy.ended
