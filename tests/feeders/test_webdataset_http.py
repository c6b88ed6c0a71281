"""Tars behind HTTP are streamed once to be planned, and read in ranges from then on."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.model import Listed, Reference
from feeders.files.port import Facts
from feeders.webdataset import WebDatasetSource, spool
from feeders.webdataset.grouping import Choice
from feeders.webdataset.reading import Reading
from tests.feeders.tars import everything, pictures, source, write
from tests.fetch.conftest import _no_waiting, server
from tests.fetch.naughty import Behaviour, Call, NaughtyServer, status, whole

__all__ = ["_no_waiting", "server"]


@pytest.fixture
def tar(tmp_path: Path) -> bytes:
    """100 samples of 4,000 bytes and a little text."""
    return write(tmp_path / "x.tar", pictures(100, size=4000, txt="t")).read_bytes()


def over(url: str, tmp_path: Path, **options: Any) -> WebDatasetSource:
    return source(url, tmp_path / "cache", allow_networks=("127.0.0.1",), **options)


def breaking(body: bytes, after: int, *headers: str) -> Behaviour:
    """The beginning of the range asked for, and then the end of the connection."""

    async def behave(call: Call) -> None:
        first, _, last = call.headers["range"].removeprefix("bytes=").partition("-")
        length = int(last) + 1 - int(first)
        span = f"Content-Range: bytes {first}-{last}/{len(body)}"
        await call.head(206, *headers, span, length=length)
        await call.send(body[int(first) : int(first) + min(after, length)])

    return behave


def test_shards_behind_urls_with_braces_are_read(server: NaughtyServer, tmp_path: Path, tar: bytes):
    for n in range(3):
        server.serve(f"/set/{n:02d}.tar", tar)

    found = everything(over(server.url("/set/{00..02}.tar"), tmp_path))
    assert len(found) == 300
    assert (found[299].id, found[299].error) == ("02.tar/00099", "")
    assert found[299].image == (99).to_bytes(4, "big") * 1000
    assert found[299].source == server.url("/set/02.tar#00099.jpg")


def test_a_shard_is_streamed_once_to_be_planned(server: NaughtyServer, tmp_path: Path, tar: bytes):
    url = server.serve("/x.tar", tar, 'ETag: "1"')
    plan = list(over(url, tmp_path).names("x.tar", None))
    sent = server.sent
    assert len(tar) < sent < len(tar) * 1.1

    again = over(url, tmp_path)
    assert list(again.names("x.tar", plan[49])) == plan[50:]
    assert server.sent - sent < 1000


def test_a_chunk_resumed_near_its_end_fetches_the_rest_only(
    server: NaughtyServer, tmp_path: Path, tar: bytes
):
    url = server.serve("/x.tar", tar, 'ETag: "1"')
    plan = list(over(url, tmp_path).names("x.tar", None))
    made = over(url, tmp_path / "elsewhere")
    before, sent = len(server.seen), server.sent

    assert len(list(made.samples("x.tar", plan[90:], '"1"'))) == 10
    assert server.sent - sent < len(tar) * 0.11
    assert [call.method for call in server.seen[before:]] == ["HEAD", "GET"]


def test_who_planned_a_shard_does_not_fetch_it_again(
    server: NaughtyServer, tmp_path: Path, tar: bytes
):
    made = over(server.serve("/x.tar", tar, 'ETag: "1"'), tmp_path)

    found = everything(made)
    assert [raw.image[:4] for raw in found] == [n.to_bytes(4, "big") for n in range(100)]
    assert server.sent < len(tar) * 1.1


def test_of_a_shard_that_changed_no_copy_is_used(server: NaughtyServer, tmp_path: Path, tar: bytes):
    made = over(server.serve("/x.tar", tar, 'ETag: "1"'), tmp_path)
    everything(made)
    other = tar.replace((7).to_bytes(4, "big") * 1000, b"new!" * 1000)
    server.serve("/x.tar", other, 'ETag: "2"')

    assert everything(made)[7].image == b"new!" * 1000


def test_of_a_shard_without_versions_nothing_is_kept(
    server: NaughtyServer, tmp_path: Path, tar: bytes
):
    """Tars are padded, so that another one often has the same size."""
    url = server.serve("/x.tar", tar)
    everything(over(url, tmp_path))
    other = write(tmp_path / "y.tar", pictures(101, size=4000, txt="t")[1:]).read_bytes()
    assert len(other) == len(tar)
    server.serve("/x.tar", other)

    found = everything(over(url, tmp_path))
    assert (found[0].id, found[0].image[:4]) == ("x.tar/00001", (1).to_bytes(4, "big"))


def test_copies_are_bounded_and_the_oldest_goes(
    server: NaughtyServer, tmp_path: Path, tar: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spool, "MOST", len(tar) * 2 + 100)
    for n in range(4):
        server.serve(f"/{n}.tar", tar, 'ETag: "1"')
    made = over(server.url("/{0..3}.tar"), tmp_path)
    everything(made)
    assert len(list((tmp_path / "cache/tars/copies").iterdir())) == 2

    monkeypatch.setattr(spool, "MOST", 100)
    assert len(everything(over(server.url("/{0..3}.tar"), tmp_path, columns=()))) == 400
    assert list((tmp_path / "cache/tars/copies").iterdir()) == []


def test_without_room_for_copies_all_is_read_anyway(
    server: NaughtyServer, tmp_path: Path, tar: bytes
):
    (tmp_path / "cache").touch()

    assert len(everything(over(server.serve("/x.tar", tar), tmp_path))) == 100


def test_samples_are_read_on_where_a_connection_broke(
    server: NaughtyServer, tmp_path: Path, tar: bytes
):
    url = server.serve("/x.tar", tar, 'ETag: "1"')
    plan = list(over(url, tmp_path).names("x.tar", None))
    made = over(url, tmp_path / "elsewhere")
    server.on("/x.tar", whole(tar, 'ETag: "1"'), breaking(tar, 200_000, 'ETag: "1"'))

    found = list(made.samples("x.tar", plan, '"1"'))
    assert [raw.image[:4] for raw in found] == [n.to_bytes(4, "big") for n in range(100)]
    assert len(server.asked("/x.tar")) > 5


def test_a_shard_that_changed_is_not_read(server: NaughtyServer, tmp_path: Path, tar: bytes):
    made = over(server.serve("/x.tar", tar, 'ETag: "1"'), tmp_path)
    plan = list(made.names("x.tar", None))
    server.serve("/x.tar", tar, 'ETag: "2"')

    with pytest.raises(ShardChanged):
        list(made.samples("x.tar", plan, '"1"'))
    server.on("/x.tar", status(403))
    with pytest.raises(ShardChanged, match="cannot be read any more"):
        list(made.samples("x.tar", plan, '"1"'))


def test_a_shard_that_is_refused_is_passed_over(
    server: NaughtyServer, tmp_path: Path, tar: bytes, caplog: pytest.LogCaptureFixture
):
    server.serve("/0.tar", tar)
    server.on("/1.tar", status(403))

    assert len(everything(over(server.url("/{0..2}.tar"), tmp_path))) == 100
    assert "Passing over the shard 1.tar" in caplog.text
    assert "Passing over the shard 2.tar" in caplog.text


def listing(plan: list[Listed], size: int) -> bytes:
    """What webshart writes beside a tar."""
    files = {}
    for one in plan:
        for member in one.place.split():
            kind, _, span = member.partition("@")
            start, _, length = span.partition("+")
            files[f"{one.name}.{kind}"] = {"offset": int(start), "length": int(length)}
    return json.dumps({"filesize": size, "files": files}).encode()


def test_a_list_beside_a_tar_spares_streaming_it(server: NaughtyServer, tmp_path: Path, tar: bytes):
    url = server.serve("/x.tar", tar, 'ETag: "1"')
    expected = list(source(tmp_path / "x.tar").names("x.tar", None))
    server.serve("/x.json", listing(expected, len(tar)))
    sent = server.sent

    assert list(over(url, tmp_path).names("x.tar", None)) == expected
    assert server.sent - sent < len(tar) * 0.1


@pytest.mark.parametrize(
    "lie",
    [
        lambda plan, size: listing(plan, size + 1),
        lambda plan, size: listing([Listed("0", "jpg@512+9"), *plan], size),
        lambda plan, size: listing([*plan, Listed("0", f"jpg@{size}+9")], size),
        lambda plan, size: listing([Listed("0", "jpg@0+9"), *plan], size),
        lambda *_: b"{",
        lambda *_: b"[" * 100_000,
    ],
)
def test_a_list_that_is_wrong_is_not_believed(
    server: NaughtyServer, tmp_path: Path, tar: bytes, lie: Any, caplog: pytest.LogCaptureFixture
):
    url = server.serve("/x.tar", tar)
    expected = list(source(tmp_path / "x.tar").names("x.tar", None))
    server.serve("/x.json", lie(expected, len(tar)))

    assert list(over(url, tmp_path).names("x.tar", None)) == expected
    assert "Not using the list of members beside" in caplog.text


def test_workers_read_images_themselves_if_told(server: NaughtyServer, tmp_path: Path, tar: bytes):
    url = server.serve("/x.tar", tar)
    made = over(url, tmp_path, images="reference")
    plan = list(made.names("x.tar", None))
    sent = server.sent

    [raw] = made.samples("x.tar", plan[3:4])
    assert raw.image == b""
    assert raw.columns == {"txt": "t"}
    assert raw.reference is not None
    start, length = raw.reference.start or 0, raw.reference.length or 0
    assert raw.reference == Reference(url, start, length)
    assert tar[start : start + length] == (3).to_bytes(4, "big") * 1000
    assert server.sent - sent < 2000


def test_lists_are_asked_for_beside_the_tar_and_nowhere_else(tmp_path: Path, tar: bytes):
    """Who has a host of a similar name must not get the password."""
    with NaughtyServer("127.0.0.1") as ours:
        url = ours.serve("/a.tar.d/x.tar", tar)
        made = over(url, tmp_path)

        assert len(list(made.names("x.tar", None))) == 100
        assert "/a.tar.d/x.json" in {call.target for call in ours.seen}


class Public:
    """A file that any worker reaches."""

    name, where = "x.tar", "https://example.org/x.tar"

    def facts(self) -> Facts:
        return Facts(9999, "1")

    def read(self, start: int, length: int) -> bytes:
        info = tarfile.TarInfo("1.cls" if start >= 512 else "1.jpg")
        info.size = 9
        return (info.tobuf() * 2)[:length]

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        yield self.read(start, (end or 9999) - start)

    def reference(self, start: int | None = None, length: int | None = None) -> Reference:
        return Reference(self.where, start, length)


def test_left_to_itself_it_refers_to_what_needs_no_reading():
    options = SourceOptions(path="")
    wanted = [Listed("0", "jpg@512+9"), Listed("1", "jpg@512+9 cls@1024+9")]

    bare, told = Reading(options, Choice(options), Public(), 9999, wanted)
    assert bare.reference == Reference("https://example.org/x.tar", 512, 9)
    assert (told.reference, len(told.image)) == (None, 9)
