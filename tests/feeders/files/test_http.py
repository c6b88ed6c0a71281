"""Files behind HTTP: what URLs stand for, what is asked of servers, and no secret told."""

from typing import Any

import pytest

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.fetch import DownloadLimits
from caption_flow.model import Reference
from feeders.files.find import Files
from feeders.files.port import FileGone, FileUnreachable, FileUnreadable
from tests.fetch.conftest import _no_waiting, server
from tests.fetch.naughty import NaughtyServer, cut, redirect, status, whole

__all__ = ["_no_waiting", "server"]

BODY = bytes(range(256)) * 1000


def files(url: str, **options: Any) -> Files:
    allowed = options.pop("allow_networks", ("127.0.0.1",))
    return Files(SourceOptions(path=url, allow_networks=allowed, **options), (".tar",))


def names(url: str, start: str | None = None) -> list[str]:
    return [file.name for file in files(url).list(start)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.org/a/b.tar", ["b.tar"]),
        ("https://x.org/a/{00..02}.tar", ["00.tar", "01.tar", "02.tar"]),
        ("https://x.org/{a,b}/{1..2}.tar", ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]),
        ("https://x.org/a/2.tar::https://x.org/1.tar", ["1.tar", "a/2.tar"]),
        ("https://{x,y}.org/1.tar", ["x.org/1.tar", "y.org/1.tar"]),
        ("https://me:secret@x.org/1.tar?token=secret#f", ["1.tar"]),
        ("HTTPS://x.org/a%20b.tar", ["a%20b.tar"]),
    ],
)
def test_urls_have_names(url: str, expected: list[str]):
    assert names(url) == expected


def test_a_listing_goes_on_from_a_name():
    assert names("https://x.org/{00..05}.tar", "035.tar") == ["04.tar", "05.tar"]


@pytest.mark.parametrize(
    ("url", "dataset"),
    [
        ("https://x.org/laion/{0..1}.tar", "laion"),
        ("https://x.org/train.v2.tar", "train"),
        ("https://{x,y}.org/1.tar", "dataset"),
        ("https://x.org:8080/{0..1}.tar", "x.org-8080"),
    ],
)
def test_a_data_set_is_named_for_its_folder(url: str, dataset: str):
    assert files(url).dataset == dataset


@pytest.mark.parametrize(
    "url",
    ["https://x.org/*.tar", "https://x.org/", "https://x.org", "https:///a.tar",
     "https://x.org/a.tar?b::https://x.org/a.tar?c", "https://x.org:port/a.tar"],
)  # fmt: skip
def test_urls_that_make_no_sense_are_refused(url: str):
    with pytest.raises(ConfigError):
        files(url)


@pytest.mark.parametrize("name", ["", "../1.tar", "2.tar", "https://y.org/1.tar", "1.tar?x"])
def test_a_strange_name_leads_nowhere(name: str):
    with pytest.raises(FileGone):
        files("https://x.org/{0..1}.tar").get(name)


def test_a_file_is_read_in_pieces_from_anywhere(server: NaughtyServer):
    [file] = files(server.serve("/x.tar", BODY, 'ETag: "v1"')).list()

    assert file.facts().size == len(BODY)
    assert file.facts().fingerprint == '"v1"'
    assert file.read(300, 1000) == BODY[300:1300]
    assert file.read(5, 0) == b""
    assert b"".join(file.stream(7)) == BODY[7:]
    assert b"".join(file.stream(7, 1007)) == BODY[7:1007]
    assert list(file.stream(7, 7)) == []


@pytest.mark.parametrize(
    ("headers", "fingerprint"),
    [
        (("ETag: W/\"v1\"", "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT"),
         "256000-Sat, 01 Jan 2000 00:00:00 GMT"),
        (("ETag: W/\"v1\"",), '256000-W/"v1"'),
        ((), "256000-"),
    ],
)  # fmt: skip
def test_without_a_strong_etag_size_and_date_are_the_fingerprint(
    server: NaughtyServer, headers: tuple[str, ...], fingerprint: str
):
    [file] = files(server.serve("/x.tar", BODY, *headers)).list()

    assert file.facts().fingerprint == fingerprint


def test_a_stream_goes_on_where_its_connection_broke(server: NaughtyServer):
    server.on("/x.tar", cut(BODY, 100_000, 'ETag: "1"'))
    [file] = files(server.url("/x.tar")).list()

    assert b"".join(file.stream(0)) == BODY
    assert len(server.asked("/x.tar")) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [(404, FileGone), (410, FileGone), (403, FileUnreadable), (503, FileUnreachable)],
)
def test_what_a_server_refuses_has_a_meaning(
    server: NaughtyServer, code: int, error: type[SourceError]
):
    [file] = files(server.on("/x.tar", status(code))).list()

    for act in (file.facts, lambda: file.read(0, 1), lambda: list(file.stream(0))):
        with pytest.raises(error, match=r"x\.tar"):
            act()


def test_bytes_beyond_the_end_have_changed(server: NaughtyServer):
    [file] = files(server.serve("/x.tar", b"short")).list()

    with pytest.raises(ShardChanged):
        file.read(100, 1)


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_is_replaced_behind_its_facts_is_not_read(server: NaughtyServer, header: str):
    """Its new bytes at the old places would be another sample's image."""
    [file] = files(server.serve("/x.tar", BODY * 6, _version(header, 1))).list()
    file.facts()
    server.serve("/x.tar", BODY[::-1] * 6, _version(header, 2))

    for act in (lambda: file.read(0, 9), lambda: list(file.stream(1_300_000))):
        with pytest.raises(ShardChanged):
            act()


def test_a_stream_that_would_go_on_in_another_version_has_changed(server: NaughtyServer):
    """Who asks for the rest of a version that is gone is sent the whole of the new one."""
    body = BODY * 6
    server.on("/x.tar", cut(body, 1_300_000, 'ETag: "1"'), whole(body, 'ETag: "2"'))
    [file] = files(server.url("/x.tar")).list()

    with pytest.raises(ShardChanged):
        list(file.stream(0))


def _version(header: str, number: int) -> str:
    date = f"Sat, 0{number} Jan 2000 00:00:00 GMT"
    return f'{header}: "{number}"' if header == "ETag" else f"{header}: {date}"


def test_an_address_of_our_own_network_is_refused(server: NaughtyServer):
    [file] = files(server.serve("/x.tar", BODY), allow_networks=()).list()

    with pytest.raises(FileUnreadable, match="not on the public internet"):
        file.facts()
    assert server.seen == []


def test_user_and_password_go_to_their_server_only(server: NaughtyServer):
    with NaughtyServer() as other:
        other.serve("/y.tar", BODY)
        server.on("/x.tar", redirect(other.url("/y.tar")))
        url = server.url("/x.tar").replace("//", "//me:pass%20word@")
        [file] = files(url).list()
        file.read(0, 1)

        assert server.seen[0].headers["authorization"] == "Basic bWU6cGFzcyB3b3Jk"
        assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize("url", ["https://me:hush@x.org/1.tar", "https://x.org/1.tar?sig=hush"])
def test_what_needs_a_secret_is_no_reference_and_no_secret_is_told(url: str):
    [file] = files(url).list()

    assert file.reference(0, 5) is None
    assert file.where == "https://x.org/1.tar"


def test_workers_read_an_open_url_themselves():
    [file] = files("https://x.org/1.tar").list()

    assert file.reference(512, 5) == Reference("https://x.org/1.tar", 512, 5)


def test_workers_are_told_which_version_was_listed(server: NaughtyServer):
    [file] = files(server.serve("/a.tar", b"content", 'ETag: "7"')).list()
    file.facts()

    assert file.reference(0, 5) == Reference(file.where, 0, 5, version='"7"')


def test_files_are_read_within_the_limits_that_are_configured(server: NaughtyServer):
    url = server.on("/a.tar", status(503))
    limits = DownloadLimits(tries=2, user_agent="someone")

    with pytest.raises(FileUnreachable):
        files(url, download=limits).get("a.tar").read(0, 1)

    assert [call.headers["user-agent"] for call in server.seen] == ["someone"] * 2
