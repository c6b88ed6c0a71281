"""Columns that prompts need are looked for before anything is fed, cheaply."""

# ruff: noqa: ARG002 - a source takes what all take

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.config import StageConfig, VllmConfig
from caption_flow.dataset.source import Source, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.feed.columns import MORE, MORE_BYTES, check_columns
from caption_flow.feed.selection import EVERYTHING, Selection
from caption_flow.model import Listed, Raw
from feeders.folder import FolderSource
from feeders.urls import UrlsSource
from tests.e2e.pictures import draw
from tests.fetch.naughty import NaughtyServer


class Shelf:
    """A source of samples that were told, which notes which of them were read."""

    dataset = "shelf"

    def __init__(self, *samples: Mapping[str, Any], image: bytes = b"", error: str = "") -> None:
        self.read: list[str] = []
        self._samples = samples
        self._image = image
        self._error = error

    def shards(self, start: str | None = None) -> Iterator[str]:
        return iter(("empty", "full"))

    def fingerprint(self, shard: str) -> str:
        return ""

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        return (Listed(str(n)) for n in range(len(self._samples) if shard == "full" else 0))

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        for one in wanted:
            self.read.append(one.name)
            columns = dict(self._samples[int(one.name)])
            yield Raw(one.name, one.name, self._image, columns, error=self._error)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        return None


def check(
    source: Source, *prompts: str, selection: Selection = EVERYTHING, chosen: bool = False
) -> None:
    needs = VllmConfig(inference_prompts=prompts).needs()
    check_columns(needs, selection, source, lambda: source, chosen=chosen, go_on=lambda: True)


def told(source: Source, *prompts: str, chosen: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        check(source, *prompts, chosen=chosen)
    return str(refused.value).splitlines()


def test_unknown_column_is_refused_with_the_columns_there_are():
    found = told(Shelf({"title": "x", "url": "y"}), "ok", "{titel} {column:gone|x}", "{col:zzz}")

    assert found == [
        "inference_prompts[1] has {titel}, but the data set has no such column; "
        'did you mean "title"?',
        "inference_prompts[2] has {column:zzz}, but the data set has no such column",
        'Columns of the data set: "title", "url". '
        "Where not every image needs to have one, give a default: {titel|a text}.",
    ]


def test_other_case_is_the_nearest():
    assert told(Shelf({"title": 1, "TITEL": 2}), "{TITLE}")[0].endswith('did you mean "title"?')


def test_braces_of_json_are_told_to_be_doubled():
    found = told(Shelf({"title": 1}), 'Answer as {"a"}.')

    assert found[-1].endswith('Write "{{" and "}}" for braces that are meant as such.')


def test_data_set_without_columns_says_so():
    assert "Columns of the data set: none." in told(Shelf({}), "{title}")[-1]


def test_columns_that_are_not_carried_are_told_of_as_such():
    found = told(Shelf({"a": 1}), "{title}", chosen=True)

    assert 'Of those in dataset.columns it has: "a".' in found[-1]


def test_column_that_an_earlier_stage_might_write_is_told_with_the_nearest_of_both():
    first = StageConfig(name="a", prompts=("?",), output_field="detail")
    second = StageConfig(name="b", prompts=("{detial}",))
    needs = VllmConfig(stages=(first, second)).needs()
    shelf = Shelf({"title": 1})

    with pytest.raises(ConfigError) as refused:
        check_columns(needs, EVERYTHING, shelf, lambda: shelf, chosen=False, go_on=lambda: True)

    assert str(refused.value).splitlines()[0] == (
        "stages[1].prompts[0] has {detial}, but the data set has no such column, "
        'nor does an earlier stage write it; did you mean "detail"?'
    )


def test_one_sample_is_looked_at_where_it_has_all_columns():
    shelf = Shelf(*[{"a": 1, "b": None}] * 100)

    check(shelf, "{a} {column:b}")

    assert shelf.read == ["0"]


def test_no_sample_is_looked_at_where_no_column_is_needed():
    shelf = Shelf({})

    check(shelf, "Describe {filename}, {title|a picture}.")

    assert shelf.read == []


def test_column_of_a_later_sample_is_found():
    check(Shelf(*[{"a": 1}] * MORE, {"b": 1}), "{a} {b}")


def test_no_more_than_some_samples_are_looked_at():
    shelf = Shelf(*[{"a": 1}] * 1000)

    told(shelf, "{b}")

    assert len(shelf.read) <= 2 + MORE + 8


def test_large_images_are_not_read_in_numbers():
    shelf = Shelf(*[{"a": 1}] * 1000, image=b"x" * (MORE_BYTES // 4))

    told(shelf, "{b}")

    assert len(shelf.read) <= 1 + 8


def test_shards_that_are_not_chosen_are_not_looked_at():
    shelf = Shelf({"a": 1})

    check(shelf, "{b}", selection=Selection(shards=("other*",)))

    assert shelf.read == []


def test_empty_data_set_is_not_refused():
    check(Shelf(), "{a}")


def test_samples_that_cannot_be_read_are_not_refused():
    check(Shelf({}, {}, error="gone"), "{a}")


def test_sample_that_cannot_be_read_does_not_end_the_look():
    class FirstBad(Shelf):
        def samples(
            self, shard: str, wanted: Sequence[Listed], fingerprint: str = ""
        ) -> Iterator[Raw]:
            for raw in super().samples(shard, wanted, fingerprint):
                yield Raw(raw.id, raw.source, error="gone") if raw.id == "0" else raw

    assert told(FirstBad({"b": 1}, {"a": 1}), "{b}")[-1].startswith('Columns of the data set: "a".')


def test_data_set_that_cannot_be_read_is_left_to_the_planner():
    class Broken(Shelf):
        def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
            raise SourceError("no")

    check(Broken({"a": 1}), "{b}")


@given(st.lists(st.text(max_size=80), max_size=40))
def test_names_that_strangers_gave_are_told_on_one_line(names: Iterable[str]):
    found = told(Shelf(dict.fromkeys(names, 1)), "{column:not among them at all}")

    assert len(found) == 2
    assert all(line.isprintable() for line in found)


def test_columns_of_a_folder_are_those_of_its_sidecars(tmp_path: Path):
    draw(tmp_path, 3)
    (tmp_path / "00002.json").write_text(json.dumps({"title": "x"}))

    check(FolderSource(SourceOptions(str(tmp_path), sidecars=("json",))), "{title}")
    assert told(FolderSource(SourceOptions(str(tmp_path))), "{title}")


def test_images_that_workers_fetch_are_not_fetched_for_a_look(tmp_path: Path):
    with NaughtyServer() as server:
        url = server.serve("/1.jpg", b"x")
        table = tmp_path / "t.csv"
        table.write_text("image_url,title\n" + f"{url},x\n" * 100)

        assert told(UrlsSource(SourceOptions(str(table))), "{titel}")[0].endswith('"title"?')
        assert server.seen == []
