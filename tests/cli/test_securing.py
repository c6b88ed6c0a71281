"""A proxy listens with the certificate of its document, unless its operator says without."""

import ssl
from pathlib import Path

import pytest

from caption_flow.cli.securing import secured
from caption_flow.config import JobConfig
from caption_flow.errors import CertificateUnfit
from tests.certificates.pairs import DAY, pair
from tests.certificates.serving import connected, serving


async def listened(**settings: object) -> ssl.SSLContext | None:
    async with secured(JobConfig(**settings)) as context:
        return context


async def test_proxy_without_a_certificate_listens_without_tls():
    assert await listened() is None


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


async def test_certificate_that_has_expired_is_refused(tmp_path: Path):
    made = pair(tmp_path, begins=-2 * DAY, ends=-DAY)

    with pytest.raises(CertificateUnfit, match="expired on"):
        await listened(cert=str(made.cert), key=str(made.key))
