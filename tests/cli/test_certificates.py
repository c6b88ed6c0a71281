"""Certificates are made and inspected from the command line."""

import json
from pathlib import Path

import pytest
import yaml

from caption_flow.certificates.contexts import check_pair
from tests.certificates.pairs import DAY, pair
from tests.cli.test_mistakes import assert_refused
from tests.e2e.desk import Desk


def test_certificate_is_made_and_told(desk: Desk):
    local = ("--self-signed", "--domain", "localhost", "--domain", "lab.test")
    done = desk.run("generate_cert", *local, "--output-dir", "./certs", "--days", 30)

    assert done.code == 0, done.words
    document = yaml.safe_load(done.out)
    made = check_pair(Path(document["cert"]), Path(document["key"]))
    assert document["cert"] == str(desk.folder / "certs" / "cert.pem")
    assert set(made.names) == {"localhost", "lab.test", "127.0.0.1", "::1"}
    assert f"SHA-256 {made.fingerprint}" in done.out
    assert 29 < made.days_left() < 31


def test_what_was_made_is_good(desk: Desk):
    desk.run("generate-cert", "--self-signed", "--domain", "localhost")

    files = ("certs/cert.pem", "--key", "certs/key.pem")
    done = desk.run("inspect-cert", *files, "--host", "localhost")

    assert done.code == 0, done.words
    assert "for           localhost, 127.0.0.1, ::1\n" in done.out
    assert "itself (self-signed)" in done.out
    assert done.out.endswith("It is good.\n")


def test_certificate_is_made_once_and_again_by_force(desk: Desk):
    words = ("generate_cert", "--self-signed", "--domain", "localhost")
    first, second, third = desk.run(*words), desk.run(*words), desk.run(*words, "--force")

    assert (first.code, third.code) == (0, 0)
    assert_refused(second, 1, "cert.pem", "--force")


def test_faults_are_told_with_exit_code_1(desk: Desk):
    made = pair(desk.folder, begins=-3 * DAY, ends=-2 * DAY)

    done = desk.run("inspect_cert", made.cert)

    assert done.code == 1, done.words
    assert "2 days ago" in done.out
    assert "expired on" in done.out


def test_certificate_is_told_as_json(desk: Desk):
    made = pair(desk.folder)
    other = pair(desk.folder, "other")

    done = desk.run("inspect_cert", made.cert, "--key", other.key, "--json")

    found = json.loads(done.out)
    assert done.code == 1, done.words
    assert found["good"] is found["key_fits"] is False
    assert found["host_fits"] is None
    assert found["certificates"][0]["names"] == ["localhost", "127.0.0.1"]


WRONG: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "no domain": (("generate_cert", "--self-signed"), 2, ("--domain",)),
    "domain that is a path": (
        ("generate_cert", "--self-signed", "--domain", "../x"),
        2,
        ("no name of a host",),
    ),
    "neither way": (("generate_cert", "--domain", "a.org"), 2, ("--self-signed", "--email")),
    "both ways": (
        ("generate_cert", "--self-signed", "--domain", "a.org", "--email", "a@a.org"),
        2,
        ("--email is for Let's Encrypt",),
    ),
    "days of Let's Encrypt": (
        ("generate_cert", "--domain", "a.org", "--email", "a@a.org", "--days", "3"),
        2,
        ("--days is for --self-signed",),
    ),
    "no certificate": (("inspect_cert", "none.pem"), 2, ("none.pem cannot be read",)),
    "no host": (("inspect_cert", "none.pem", "--host", "a b"), 2, ("no name of a host",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_told_in_its_own_words(shared_desk: Desk, name: str):
    arguments, code, pieces = WRONG[name]

    assert_refused(shared_desk.run(*arguments), code, *pieces)
