"""Files of a data set on the hub: listed at one commit, read by range, with the token's care."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Reference
from feeders.files.hub import HubFiles
from tests.feeders.hub_server import HubServer, hub_server, lfs_oid, oid, use_hub
from tests.feeders.tree import grow

LARGE = bytes(range(256)) * 64


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server(page=2) as made:
        use_hub(monkeypatch, made)
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    grow(tmp_path, "b.csv", "a/2.csv", "a/1.csv", "c.md", ".hidden/x.csv")
    (tmp_path / "large.csv").write_bytes(LARGE)
    return tmp_path


def files(path: str = "user/pets", **options: Any) -> HubFiles:
    return HubFiles(SourceOptions(path=path, **options), (".csv",), [path])


def names(path: str = "user/pets", start: str | None = None, **options: Any) -> list[str]:
    return [file.name for file in files(path, **options).list(start)]


def test_all_pages_are_listed_in_order(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)

    assert names() == ["a/1.csv", "a/2.csv", "b.csv", "large.csv"]
    assert names(start="a/2.csv") == ["a/2.csv", "b.csv", "large.csv"]


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("", ["a/1.csv", "a/2.csv", "b.csv", "large.csv"]),
        ("/a", ["a/1.csv", "a/2.csv"]),
        ("/a/2.csv", ["a/2.csv"]),
        ("/*/1.csv", ["a/1.csv"]),
        ("/**/[b1].csv", ["a/1.csv", "b.csv"]),
        ("/b.csv", ["b.csv"]),
    ],
)
def test_a_path_names_files_folders_or_globs(
    server: HubServer, folder: Path, inside: str, found: list[str]
):
    server.add("user/pets").commit(folder)

    assert names(f"hf://datasets/user/pets{inside}") == found
    assert names(f"hf://datasets/user/pets@main{inside}") == found


def test_only_the_folder_that_is_named_is_listed(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)
    files("hf://datasets/user/pets/a/*.csv")

    assert [s.path.rpartition("/")[2] for s in server.asked() if "/tree/" in s.path] == ["a"]


def test_a_branch_is_pinned_when_the_data_set_is_opened(server: HubServer, folder: Path):
    repo = server.add("user/pets")
    first = repo.commit(folder)
    opened = files()
    (folder / "b.csv").write_bytes(b"new")
    second = repo.commit(folder)

    assert opened.get("b.csv").read(0, 5) == b"b.csv"
    assert first in opened.get("b.csv").where
    assert files().get("b.csv").read(0, 3) == b"new"
    assert files(revision=first).get("b.csv").read(0, 5) == b"b.csv"
    assert second in files(revision="main").get("b.csv").where


def test_a_revision_may_have_slashes(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder, "refs/convert/parquet")

    assert names("hf://datasets/user/pets@refs/convert/parquet/a/1.csv") == ["a/1.csv"]
    assert names("hf://datasets/user/pets@refs%2Fconvert%2Fparquet/b.csv") == ["b.csv"]


def test_facts_are_those_of_the_list(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)
    small, large = files().get("b.csv").facts(), files().get("large.csv").facts()

    assert (small.size, small.fingerprint) == (5, oid(b"b.csv"))
    assert (large.size, large.fingerprint) == (len(LARGE), lfs_oid(LARGE))


def test_ranges_of_large_files_come_from_the_storage(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)
    large = files(allow_networks=("127.0.0.1",)).get("large.csv")

    assert large.read(300, 20) == LARGE[300:320]
    assert b"".join(large.stream(10, 9000)) == LARGE[10:9000]
    assert b"".join(large.stream(9000)) == LARGE[9000:]
    assert [seen.sent for seen in server.asked("large.csv", "cdn")] == [20, 8990, len(LARGE) - 9000]


def test_the_hub_may_be_private_where_it_redirects_to_may_not(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)
    opened = files()

    assert opened.get("b.csv").read(0, 5) == b"b.csv"
    with pytest.raises(SourceError, match="not on the public internet"):
        opened.get("large.csv").read(0, 5)
    assert not server.asked(port="cdn")


def test_a_private_data_set_is_read_with_the_token_which_the_storage_never_sees(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    server.add("user/pets", token="hf_secret").commit(folder)
    use_hub(monkeypatch, server, "hf_secret")
    large = files(allow_networks=("127.0.0.1",)).get("large.csv")

    assert large.read(0, 4) == LARGE[:4]
    assert {seen.authorization for seen in server.asked(port="hub")} == {"Bearer hf_secret"}
    assert {seen.authorization for seen in server.asked(port="cdn")} == {""}


def test_the_token_may_be_the_one_that_is_stored(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
):
    server.add("user/pets", token="hf_stored").commit(folder)
    stored = tmp_path_factory.mktemp("home") / "token"
    stored.write_text("hf_stored\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(stored))

    assert files().get("b.csv").read(0, 5) == b"b.csv"


def test_an_at_sign_in_a_file_is_no_revision(server: HubServer, folder: Path):
    server.add("user/pets").commit(grow(folder, "a/x@y.csv"))

    assert names("hf://datasets/user/pets/a/x@y.csv") == ["a/x@y.csv"]


def test_a_private_data_set_without_a_token_is_refused_with_what_to_do(
    server: HubServer, folder: Path
):
    server.add("user/pets", token="hf_secret").commit(folder)

    with pytest.raises(SourceError, match=r"does not exist, or is private.*set HF_TOKEN"):
        files()


def test_a_wrong_token_is_told_and_not_shown(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    server.add("user/pets", token="hf_secret").commit(folder)
    use_hub(monkeypatch, server, "hf_wrong")

    with pytest.raises(SourceError, match="a token that may read it in HF_TOKEN") as told:
        files()
    assert "hf_wrong" not in str(told.value)


def test_a_gated_data_set_says_where_its_terms_are(server: HubServer, folder: Path):
    server.add("user/pets", token="hf_secret", gated=True).commit(folder)
    opened = files()

    with pytest.raises(SourceError, match=r"/datasets/user/pets may be read only by those who"):
        opened.get("b.csv").read(0, 5)


def test_a_missing_revision_is_named(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)

    with pytest.raises(SourceError, match='has no revision "v9"'):
        files(revision="v9")


def test_a_missing_folder_is_named(server: HubServer, folder: Path):
    server.add("user/pets").commit(folder)

    with pytest.raises(SourceError, match="has no folder dogs"):
        files("hf://datasets/user/pets/dogs/*.csv")


def test_offline_is_said_to_be_so(server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch):
    server.add("user/pets").commit(folder)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(SourceError, match="HF_HUB_OFFLINE keeps this process off it"):
        files()


@pytest.mark.usefixtures("server")
def test_a_hub_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", nobody)

    with pytest.raises(SourceError, match=f"The hub at {nobody} does not answer"):
        files()


@pytest.mark.parametrize("name", ["../b.csv", "c.md", "/b.csv", "nope.csv", ".hidden/x.csv", ""])
def test_a_name_that_is_not_listed_is_refused(server: HubServer, folder: Path, name: str):
    server.add("user/pets").commit(folder)

    with pytest.raises(ShardChanged, match="not among the files"):
        files().get(name)


def test_a_public_file_can_be_referred_to(server: HubServer, folder: Path):
    sha = server.add("user/pets").commit(grow(folder, "a b#.csv"))

    assert files().get("a b#.csv").reference(3, 4) == Reference(
        f"datasets/user/pets/resolve/{sha}/a%20b%23.csv", 3, 4, hub=True
    )


def test_a_private_file_cannot_be_referred_to(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    server.add("user/pets", token="hf_secret").commit(folder)
    use_hub(monkeypatch, server, "hf_secret")

    assert files().get("b.csv").reference() is None


def test_a_token_does_not_make_a_public_file_private(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    server.add("user/pets").commit(folder)
    use_hub(monkeypatch, server, "hf_secret")

    assert files().get("b.csv").reference() is not None


@pytest.mark.parametrize(
    "path", ["hf://models/a/b", "hf://datasets/", "hf://datasets/a/b@/x", "a b"]
)
@pytest.mark.usefixtures("server")
def test_a_path_that_names_no_data_set_is_refused(path: str):
    with pytest.raises(ConfigError, match="names no data set"):
        files(path)


@pytest.mark.usefixtures("server")
def test_two_revisions_at_once_are_refused():
    with pytest.raises(ConfigError, match=r"one revision is read at a time\. Named are: a, b"):
        files("user/pets@a", revision="b")
