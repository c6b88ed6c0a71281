"""The image of a sample, read again."""

import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from caption_flow.dataset.pixels import NoPixels, OutOfReach, Pixels
from caption_flow.dataset.source import Source, SourceOptions, open_source
from caption_flow.dataset.thumbnails import Thumbnails, TooMany
from caption_flow.errors import SourceError
from caption_flow.model import Listed, Raw, Reference, Sample
from tests.image.makers import encode, noise, picture

PNG = encode(picture(), "PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "photos" / "cats"
    inside.mkdir(parents=True)
    (inside / "one.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return tmp_path / "photos"


def of_folder(folder: Path) -> Pixels:
    return Pixels(lambda: open_source("folder", SourceOptions(path=str(folder))))


def sample(shard: str, id_: str, source: str = "") -> Sample:
    return Sample(id_, "photos", shard, f"{shard}:0", source)


class _Range(BaseHTTPRequestHandler):
    body = b"before" + PNG + b"after"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        start, end = (
            (int(n) for n in wanted.removeprefix("bytes=").split("-")) if wanted else (0, 0)
        )
        body = self.body[start : end + 1] if wanted else self.body
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(self.body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Range) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/images.tar"
        server.shutdown()
        thread.join()


def test_image_is_read_from_the_data_set(folder: Path):
    assert of_folder(folder).of(sample("cats", "cats/one.png")) == PNG


def test_image_is_read_out_of_a_tar(tmp_path: Path):
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name in ("one.jpg", "one.txt", "two.png"):
            info = tarfile.TarInfo(name)
            info.size = len(PNG)
            tar.addfile(info, BytesIO(PNG))
    options = SourceOptions(path=str(tmp_path), images="inline", cache_dir=str(tmp_path / "cache"))
    pixels = Pixels(lambda: open_source("webdataset", options))

    assert pixels.of(sample("00000.tar", "00000.tar/two")) == PNG
    with pytest.raises(NoPixels):
        pixels.of(sample("00000.tar", "00000.tar/three"))


def test_image_is_read_out_of_a_table(tmp_path: Path):
    images = [{"bytes": PNG, "path": None}, {"bytes": PNG + b"more", "path": None}]
    pq.write_table(pa.table({"image": images}), tmp_path / "train.parquet")
    options = SourceOptions(path=str(tmp_path), images="inline")
    pixels = Pixels(lambda: open_source("huggingface", options))

    assert pixels.of(sample("train.parquet", "train.parquet/1")) == PNG + b"more"
    with pytest.raises(NoPixels):
        pixels.of(sample("train.parquet", "train.parquet/7"))


@pytest.mark.parametrize(
    ("shard", "id_"),
    [
        ("..", "../secret.png"),
        (".", "../secret.png"),
        ("cats", "cats/../../secret.png"),
        ("/", "//etc/passwd"),
        ("cats", "dogs/one.png"),
        ("cats", "cats/two.png"),
    ],
)
def test_nothing_else_is_read(folder: Path, shard: str, id_: str):
    with pytest.raises(NoPixels):
        of_folder(folder).of(sample(shard, id_, str(folder.parent / "secret.png")))


def test_path_alone_is_not_followed(folder: Path):
    with pytest.raises(NoPixels, match="not known here"):
        Pixels().of(sample("cats", "cats/one.png", str(folder / "cats/one.png")))


def test_url_is_fetched_where_its_network_is_allowed(url: str):
    asked = sample("links", "links/1", url)
    with pytest.raises(NoPixels, match="public"):
        Pixels().of(asked)

    assert Pixels(allow_networks=["127.0.0.1"]).of(asked) == _Range.body


def test_reference_is_read_where_it_lies(url: str):
    asked = replace(sample("images", "images/one"), reference=Reference(url, 6, len(PNG)))

    assert Pixels(allow_networks=["127.0.0.1"]).of(asked) == PNG


def test_images_of_a_shard_are_read_in_one_go_and_those_that_cannot_be_say_why(folder: Path):
    asked: list[int] = []

    class Counting:
        def __init__(self, source: Source) -> None:
            self._source = source

        def samples(self, shard: str, wanted: Sequence[Listed]) -> Iterator[Raw]:
            asked.append(len(wanted))
            return self._source.samples(shard, wanted)

    (folder / "cats" / "two.png").write_bytes(PNG + b"two")
    opened = Counting(open_source("folder", SourceOptions(path=str(folder))))
    names = ("two", "gone", "one")
    samples = [sample("cats", f"cats/{name}.png") for name in names]
    found = Pixels(lambda: cast("Source", opened)).several(samples)

    assert asked == [3]
    assert (found[0], found[2]) == (PNG + b"two", PNG)
    assert isinstance(found[1], NoPixels)


def test_a_source_that_breaks_amid_several_images_is_asked_for_the_others_one_by_one():
    class Broken:
        def samples(self, shard: str, wanted: Sequence[Listed]) -> Iterator[Raw]:
            for one in wanted:
                if one.name == "bad":
                    raise RuntimeError("oh")
                yield Raw(f"{shard}/{one.name}", "", one.name.encode())

    samples = [sample("a", f"a/{name}") for name in ("one", "bad", "two")]
    one, bad, two = Pixels(lambda: cast("Source", Broken())).several(samples)

    assert (one, str(bad), two) == (b"one", "oh", b"two")


def test_source_that_cannot_be_opened_says_why_and_is_not_asked_again_at_once():
    asked = 0

    def broken() -> Source:
        nonlocal asked
        asked += 1
        raise SourceError("The disk is away.")

    pixels = Pixels(broken)
    for _ in range(3):
        with pytest.raises(NoPixels, match=r"The disk is away\."):
            pixels.of(sample("a", "a/b"))
    assert asked == 1


@pytest.fixture
def thumbnails() -> Iterator[Callable[..., Thumbnails]]:
    made: list[Thumbnails] = []

    def make(*args: object, **options: int) -> Thumbnails:
        made.append(Thumbnails(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_picture_is_made_once_for_all_who_ask(thumbnails: Callable[..., Thumbnails]):
    read: list[str] = []
    begin = threading.Event()

    def slow(one: Sample) -> bytes:
        begin.wait(60)
        read.append(one.id)
        return PNG

    pictures = thumbnails(slow)
    asked = [pictures.of(sample("a", "a/b"), "small") for _ in range(3)]
    begin.set()

    assert len({future.result(60) for future in asked}) == 1
    assert pictures.of(sample("a", "a/b"), "small").result(60)
    assert read == ["a/b"]


def test_pictures_are_kept_while_there_is_room(thumbnails: Callable[..., Thumbnails]):
    read: list[str] = []
    pictures = thumbnails(lambda one: read.append(one.id) or _NOISE, kept_bytes=2 * _ROOM)
    for name in ("a", "b", "a", "c", "a", "b"):
        pictures.of(sample(".", name), "small").result(60)

    assert read == ["a", "b", "c", "b"]


def test_picture_that_cannot_be_had_says_why(thumbnails: Callable[..., Thumbnails]):
    pictures = thumbnails(lambda _: b"no image")
    with pytest.raises(NoPixels, match=r"\S"):
        pictures.of(sample("a", "a/b"), "small").result(60)


def test_picture_for_which_there_is_no_room_is_not_given_up(
    thumbnails: Callable[..., Thumbnails], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.dataset.thumbnails._MOST_WAITING", 0)
    pictures = thumbnails(lambda _: PNG)
    with pytest.raises(TooMany):
        pictures.of(sample("a", "a/b"), "small").result(60)
    monkeypatch.undo()

    assert pictures.of(sample("a", "a/b"), "small").result(60)


def test_data_set_out_of_reach_is_told_from_an_image_that_is_missing(folder: Path):
    def gone() -> Source:
        raise SourceError("It is gone.")

    for pixels in (Pixels(), Pixels(gone)):
        with pytest.raises(OutOfReach):
            pixels.of(sample("cats", "cats/one.png"))
    with pytest.raises(NoPixels) as missing:
        of_folder(folder).of(sample("cats", "cats/two.png"))
    assert not isinstance(missing.value, OutOfReach)


_NOISE = encode(noise(64), "PNG")
_ROOM = 6000  # bytes, more than one such picture takes and less than two
