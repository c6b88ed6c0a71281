"""certbot is asked as it wants to be, with a stand-in in its place, and its answer is passed on."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from caption_flow.certificates.letsencrypt import obtain
from caption_flow.errors import CaptionFlowError, CertificateUnfit, ConfigError
from tests.certificates.pairs import authority, pair
from tests.cli.test_mistakes import assert_refused
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk

__all__ = ["desk"]

NAMES = ("project.example.org", "www.example.org")
EMAIL = "me@example.org"


class Certbot:
    """The stand-in, on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def asked(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "asked.json").read_text())
        return found

    def fails(self, words: str) -> None:
        (self.folder / "fails").write_text(words)

    def writes_nothing(self) -> None:
        (self.folder / "writes_nothing").write_text("")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certbot:
    folder = tmp_path / "bin"
    folder.mkdir()
    signer, _ = authority(folder)
    pair(folder, "signed", names=NAMES, authority=signer)
    script = shlex.join([sys.executable, str(Path(__file__).with_name("certbot.py"))])
    (folder / "certbot").write_text(f'#!/bin/sh\nexec {script} "$@"\n')
    (folder / "certbot").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CERTBOT_HOME", str(folder))
    return Certbot(folder)


@pytest.mark.usefixtures("stand_in")
def test_certificate_is_where_certbot_renews_it(tmp_path: Path):
    made = obtain(NAMES, EMAIL, tmp_path / "certs")

    assert made.cert.is_symlink()
    assert made.cert.name == "fullchain.pem"
    assert made.key.name == "privkey.pem"
    assert made.certificate.names == NAMES


def test_certbot_is_told_all_it_would_ask(tmp_path: Path, stand_in: Certbot):
    obtain(NAMES, EMAIL, tmp_path / "certs")

    home = tmp_path / "certs" / "letsencrypt"
    asked = stand_in.asked
    assert asked["domain"] == list(NAMES)
    assert asked["email"] == EMAIL
    assert asked["cert_name"] == NAMES[0]
    assert [asked[f"{kind}_dir"] for kind in ("config", "work", "logs")] == [
        str(home / kind) for kind in ("config", "work", "logs")
    ]


@pytest.mark.parametrize("staging", [False, True])
@pytest.mark.parametrize("force", [False, True])
def test_rehearsals_and_renewals_are_asked_for(
    tmp_path: Path, stand_in: Certbot, *, staging: bool, force: bool
):
    obtain(NAMES, EMAIL, tmp_path, staging=staging, force=force)

    asked = stand_in.asked
    assert asked["staging"] is staging
    assert asked["force_renewal"] is force
    assert asked["keep_until_expiring"] is not force


@pytest.mark.usefixtures("stand_in")
def test_folder_may_be_named_from_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert obtain(NAMES, EMAIL, Path("certs")).cert.is_absolute()


def test_failure_is_told_in_its_own_last_words(tmp_path: Path, stand_in: Certbot):
    stand_in.fails("\n".join([f"line {n}" for n in range(100)] + ["Detail:\x1b[31m NXDOMAIN", ""]))

    with pytest.raises(CaptionFlowError) as caught:
        obtain(NAMES, EMAIL, tmp_path)

    first, *last = str(caught.value).splitlines()
    assert "exit code 1" in first
    assert last[-1] == "  Detail:\ufffd[31m NXDOMAIN"
    assert "  line 90" in last
    assert "  line 10" not in last


def test_failure_without_a_word_is_told(tmp_path: Path, stand_in: Certbot):
    (stand_in.folder / "certbot").write_text("#!/bin/sh\nexit 7\n")

    with pytest.raises(CaptionFlowError, match=r"exit code 7[^$]*nothing"):
        obtain(NAMES, EMAIL, tmp_path)


def test_certbot_that_cannot_be_run_is_told(tmp_path: Path, stand_in: Certbot):
    (stand_in.folder / "certbot").write_text("#!/nowhere\n")

    with pytest.raises(CaptionFlowError, match=r"cannot be run"):
        obtain(NAMES, EMAIL, tmp_path)


def test_certificate_that_did_not_come_is_told(tmp_path: Path, stand_in: Certbot):
    stand_in.writes_nothing()

    with pytest.raises(CertificateUnfit, match=r"fullchain.pem cannot be read"):
        obtain(NAMES, EMAIL, tmp_path)


def test_machine_without_certbot_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="certbot is not installed") as caught:
        obtain(NAMES, EMAIL, tmp_path)

    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["localhost", "192.0.2.7", "*.example.org", "printer.local"])
def test_name_that_is_not_public_is_not_asked_for(tmp_path: Path, stand_in: Certbot, name: str):
    with pytest.raises(ConfigError, match=r"Give --self-signed"):
        obtain((*NAMES, name), EMAIL, tmp_path)

    assert not (stand_in.folder / "asked.json").exists()


@pytest.mark.parametrize("email", ["", "me", "@", "--config=/etc/x@y", "me@a b"])
def test_address_that_is_none_is_refused(tmp_path: Path, email: str):
    with pytest.raises(ConfigError, match="no address of mail"):
        obtain(NAMES, email, tmp_path)


WORDS = ("generate_cert", "--domain", NAMES[0], "--domain", NAMES[1], "--email", EMAIL)


def test_lines_of_the_document_are_told(desk: Desk, stand_in: Certbot):
    done = desk.start(*WORDS, "--staging").wait()

    live = desk.folder / "certs" / "letsencrypt" / "config" / "live" / NAMES[0]
    assert done.code == 0, done.words
    assert f"cert: {live}/fullchain.pem\nkey: {live}/privkey.pem\n" in done.out
    assert stand_in.asked["staging"] is True


def test_machine_without_certbot_is_told_with_exit_code_2(desk: Desk):
    done = desk.start(*WORDS, environ={"PATH": str(desk.folder)}).wait()

    assert_refused(done, 2, "certbot is not installed")
