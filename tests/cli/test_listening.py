"""A proxy listens with TLS, or where nobody else is, or because its operator says so."""

import ssl
from pathlib import Path

import pytest

from caption_flow.cli.listening import secured
from caption_flow.config import JobConfig
from caption_flow.errors import CertificateUnfit, ConfigError
from tests.certificates.pairs import DAY, pair
from tests.certificates.serving import connected, serving


async def listened(**settings: object) -> ssl.SSLContext | None:
    async with secured(JobConfig(**settings)) as context:
        return context


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "project.test", "127.0.0.1.test"])
async def test_proxy_in_the_open_without_tls_is_refused(host: str):
    with pytest.raises(ConfigError, match="generate_cert") as caught:
        await listened(host=host)

    assert host in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
async def test_proxy_for_its_own_host_needs_none(host: str):
    assert await listened(host=host) is None


async def test_operator_may_say_that_it_needs_none():
    assert await listened(no_ssl=True) is None


async def test_word_of_the_operator_goes_before_a_certificate(tmp_path: Path):
    made = pair(tmp_path)

    assert await listened(cert=str(made.cert), key=str(made.key), no_ssl=True) is None


async def test_certificate_is_served(tmp_path: Path):
    made = pair(tmp_path)
    async with (
        secured(JobConfig(cert=str(made.cert), key=str(made.key))) as context,
        serving(context) as port,
        connected(port, made.cert) as connection,
    ):
        assert await connection.works()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_certificate_that_has_expired_is_refused(tmp_path: Path, host: str):
    made = pair(tmp_path, begins=-2 * DAY, ends=-DAY)

    with pytest.raises(CertificateUnfit, match="expired on"):
        await listened(host=host, cert=str(made.cert), key=str(made.key))
