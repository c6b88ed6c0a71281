"""Look: what a source gave becomes an offer, or says why it cannot."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from caption_flow.config.schema import ImagesConfig
from caption_flow.errors import SourceError
from caption_flow.feed import look as looking
from caption_flow.feed.look import DEEPEST, OFFER_SAMPLES, look, offers
from caption_flow.image import inspect
from caption_flow.model import Chunk, Listed, Offer, Raw
from tests.made import jpeg

CHUNK = Chunk("s:0", "pictures", "s", ("a.jpg",))
BOUNDS = ImagesConfig()


def offered(image: bytes = b"", images: ImagesConfig = BOUNDS, **raw: Any) -> Offer:
    return look(Raw("s/a.jpg", "/in/s/a.jpg", image, **raw), CHUNK, images)


def reason(offer: Offer) -> str:
    assert offer.failure is not None
    assert offer.image == b""
    return offer.failure.reason


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class Given:
    """A source that gives what it was told to give."""

    dataset = "given"

    def __init__(self, raws: Sequence[Raw]) -> None:
        self._raws = raws

    def shards(self, start: str | None = None) -> Iterator[str]:
        raise NotImplementedError

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        raise NotImplementedError

    def samples(self, shard: str, names: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        del shard, names, fingerprint
        yield from self._raws


def batches(images: Sequence[bytes]) -> list[int]:
    """How many samples each offer of these images carries."""
    names = [f"{n}.jpg" for n in range(len(images))]
    raws = [Raw(f"s/{name}", name, image) for name, image in zip(names, images, strict=True)]
    return [len(batch) for batch in offers(Given(raws), CHUNK, list(map(Listed, names)), BOUNDS)]


def test_a_good_image_travels_as_it_is():
    image = jpeg(1)

    assert offered(image).image == image


def test_a_sample_tells_the_facts_of_its_image():
    sample = offered(jpeg(1, side=12), columns={"a": 1}).sample

    assert (sample.width, sample.height, sample.format) == (12, 12, "jpeg")
    assert sample.columns == {"a": 1}


def test_a_large_image_is_shrunk():
    offer = offered(jpeg(1, side=64), ImagesConfig(max_side=32))

    assert inspect(offer.image, max_pixels=10**6).width == 32


def test_the_facts_of_a_shrunk_image_are_those_of_what_is_fed():
    offer = offered(jpeg(1, side=64), ImagesConfig(max_side=32))

    sample = offer.sample
    assert (sample.width, sample.height) == (32, 32)
    assert sample.bytes == len(offer.image)
    assert sample.sha256 == hashlib.sha256(offer.image).hexdigest()


@pytest.mark.parametrize("image", [b"", b"no image", jpeg(1)[:40]])
def test_a_bad_image_is_an_offer_that_says_why(image: bytes):
    assert reason(offered(image)) not in {"", "error"}


def test_an_image_the_source_could_not_read_says_what_the_source_said():
    offer = offered(error="permission denied")

    assert reason(offer) == "unreadable"
    assert offer.failure is not None
    assert offer.failure.detail == "permission denied"


def test_a_mistake_of_ours_around_one_image_harms_no_other(monkeypatch: pytest.MonkeyPatch):
    def break_down(*_: object, **__: object) -> None:
        raise MemoryError("no room for this one")

    monkeypatch.setattr(looking, "fit", break_down)

    assert reason(offered(jpeg(1))) == "error"


@pytest.mark.parametrize(
    "columns",
    [{"a": object()}, {"a": "\ud800"}, {"\ud800": 1}],
    ids=["no JSON", "no text", "no name"],
)
def test_columns_that_cannot_be_written_are_given_up_with_their_sample(columns: dict[str, Any]):
    offer = offered(jpeg(1), columns=columns)

    assert reason(offer) == "not_json"
    assert offer.sample.columns == {}


def test_columns_of_common_depth_travel_as_they_are():
    columns = {"a": nested(DEEPEST - 1)}

    assert offered(jpeg(1), columns=columns).sample.columns == columns


def test_columns_nested_beyond_reason_travel_as_text():
    offer = offered(jpeg(1), columns={"a": nested(900), "b": 1})

    assert offer.sample.columns == {"a": "[" * 900 + "1" + "]" * 900, "b": 1}


def test_an_offer_carries_some_samples_at_most():
    assert batches([b""] * (OFFER_SAMPLES + 1)) == [OFFER_SAMPLES, 1]


def test_an_offer_carries_some_bytes_at_most(monkeypatch: pytest.MonkeyPatch):
    image = jpeg(1)
    monkeypatch.setattr(looking, "OFFER_BYTES", 2 * len(image))

    assert batches([image] * 5) == [2, 2, 1]


def test_an_image_larger_than_an_offer_travels_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looking, "OFFER_BYTES", 1)

    assert batches([jpeg(1), jpeg(2)]) == [1, 1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["s/a.jpg"], "Asked for s/b.jpg, the source of s gave nothing"),
        (["s/b.jpg", "s/a.jpg"], "Asked for s/a.jpg, the source of s gave s/b.jpg"),
        (["s/a.jpg", "s/b.jpg", "s/c.jpg"], "Asked for None, the source of s gave s/c.jpg"),
    ],
    ids=["fewer", "others", "more"],
)
def test_a_source_that_gives_what_was_not_asked_is_refused(given: list[str], words: str):
    source = Given([Raw(id_, id_, jpeg(1)) for id_ in given])

    with pytest.raises(SourceError, match=words):
        list(offers(source, CHUNK, [Listed("a.jpg"), Listed("b.jpg")], BOUNDS))
