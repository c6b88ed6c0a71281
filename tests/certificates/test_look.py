"""What a certificate says is read, and whom it is for is judged as OpenSSL does."""

import shutil
import ssl
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.certificates.inspection import inspect
from caption_flow.certificates.look import chain, look
from caption_flow.errors import CertificateUnfit
from tests import require
from tests.certificates.pairs import DAY, authority, pair


def _der() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = pair(Path(folder), names=["a.test", "10.0.0.1"])
        return made.certificate.public_bytes(Encoding.DER)


HOSTS = [
    *("localhost", "LOCALHOST", "localhost.", "project.test", "a.project.test", "a.b.project.test"),
    *(
        "project",
        "test",
        "",
        ".project.test",
        "10.0.0.5",
        "10.0.0.6",
        "2001:db8::7",
        "2001:db8:0::7",
    ),
]
DER = _der()
NAMES = ["localhost", "*.project.test", "10.0.0.5", "2001:db8::7"]


def test_certificate_is_told_as_openssl_tells_it(tmp_path: Path):
    require(shutil.which("openssl"), "openssl")
    made = pair(tmp_path)
    told = subprocess.run(
        ["openssl", "x509", "-in", made.cert, "-noout", "-serial", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    [found] = chain(made.cert)

    assert f"serial={found.serial.upper():0>40}" == f"{told[0][:7]}{told[0][7:]:0>40}"
    assert told[1].endswith(found.fingerprint)


@pytest.mark.parametrize(("bits", "kind"), [(None, "ECDSA P-256"), (2048, "RSA 2048")])
def test_kind_of_key_is_told(tmp_path: Path, bits: int | None, kind: str):
    assert chain(pair(tmp_path, bits=bits).cert)[0].key == kind


def test_chain_is_read_in_its_order(tmp_path: Path):
    signer, file = authority(tmp_path)
    made = pair(tmp_path, authority=signer)

    first, second = chain(made.cert)

    assert not first.self_signed
    assert first.issuer == second.subject
    assert second == chain(file)[0]
    assert second.self_signed


@pytest.mark.parametrize("host", HOSTS)
def test_host_is_compared_as_openssl_compares_it(tmp_path: Path, host: str):
    require(shutil.which("openssl"), "openssl")
    made = pair(tmp_path, names=NAMES, subject="unnamed")
    option = "-checkip" if ":" in host or host[:1].isdigit() else "-checkhost"
    # OpenSSL is given no full stop at the end: Python takes it away before.
    told = subprocess.run(
        ["openssl", "x509", "-in", made.cert, "-noout", option, host.removesuffix(".")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert chain(made.cert)[0].is_for(host) is ("does match" in told)


def test_days_left_are_counted_to_its_end(tmp_path: Path):
    [found] = chain(pair(tmp_path, ends=30 * DAY).cert)
    now = datetime.now(UTC)

    assert 29.9 < found.days_left() < 30
    assert -1.1 < found.days_left(now + 31 * DAY) < -0.9
    assert found.lapse(now) == ""
    assert "expired on" in found.lapse(now + 31 * DAY)
    assert "not valid before" in found.lapse(now - 2 * DAY)


def test_texts_of_a_stranger_can_be_shown(tmp_path: Path):
    made = pair(tmp_path, names=["a\n\x1b[2J.test"], subject="b\x1b[2J" + "x" * 50)
    [found] = chain(made.cert)

    assert (found.names[0] + found.subject + found.issuer).isprintable()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(data=st.data())
def test_certificate_that_was_tampered_with_raises_nothing(data: st.DataObject):
    changed = bytearray(DER)
    places, octets = st.integers(0, len(DER) - 1), st.integers(0, 255)
    for place, octet in data.draw(st.lists(st.tuples(places, octets), max_size=4)):
        changed[place] = octet

    found = look(bytes(changed[: data.draw(st.integers(0, len(DER) * 4))]))

    assert found is None or all(map(str.isprintable, (found.subject, found.issuer, *found.names)))


def test_certificate_of_a_version_that_nobody_has_met_is_told(tmp_path: Path):
    der = DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x24", 1)
    file = tmp_path / "odd.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))

    with pytest.raises(CertificateUnfit, match="cannot be read"):
        chain(file)


# Inspected


def test_good_certificate_has_no_faults(tmp_path: Path):
    made = pair(tmp_path)

    found = inspect(made.cert, made.key, "localhost")

    assert (found.key_fits, found.host_fits, found.faults) == (True, True, ())


def test_all_faults_are_told(tmp_path: Path):
    made = pair(tmp_path, begins=-2 * DAY, ends=-DAY)

    found = inspect(made.cert, pair(tmp_path, "other").key, "elsewhere.test")

    expired, key, host = found.faults
    assert "expired on" in expired
    assert "other.key is not the key" in key
    assert "not for elsewhere.test, but for localhost, 127.0.0.1" in host


def test_lapse_of_what_is_sent_along_is_a_fault(tmp_path: Path):
    made, other = pair(tmp_path), pair(tmp_path, "other", begins=timedelta(days=1))
    made.cert.write_bytes(made.cert.read_bytes() + other.cert.read_bytes())

    [fault] = inspect(made.cert).faults

    assert fault.startswith("Certificate 2 in ")
