"""What an earlier job captioned is a data set: its samples, with its captions as columns."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from caption_flow.dataset.open_part import AGREED
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Listed, ShardChanged
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Sample
from feeders import ordered
from feeders.captions import roll
from feeders.captions.roll import Roll
from feeders.files.port import FileUnreadable
from tests.dataset.mergers import merged
from tests.feeders.captioned import columns, merge, photos, read, sample, source, write
from tests.feeders.tree import open_files

PATHS = ("b/1.jpg", "9.jpg", "10.jpg", "b/2.jpg", "b/c/1.jpg", "a/x.jpg", "b/3.jpg", "b/11.jpg")


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return photos(tmp_path / "photos", *PATHS)


@pytest.fixture
def job(tmp_path: Path, samples: list[Sample]) -> Path:
    return write(tmp_path / "data" / "first", samples)


def names(made: Any, shard: str, after: Listed | None = None) -> list[str]:
    return [one.name for one in made.names(shard, after)]


def test_each_sample_has_the_id_it_had_its_image_and_its_captions(tmp_path: Path, job: Path):
    found = {raw.id: (raw.image, raw.columns) for raw in read(source(job))}

    assert found == {
        path: ((tmp_path / "photos" / path).read_bytes(), {"captions": [f"captions of {path}"]})
        for path in PATHS
    }


def test_the_data_set_keeps_its_name_or_takes_the_one_it_is_given(job: Path):
    assert (source(job).dataset, source(job, name="cats").dataset) == ("pets", "cats")


def test_shards_are_those_of_the_earlier_job_from_any_on(job: Path):
    whole = list(source(job).shards())

    assert whole == [".", "a", "b", "b/c"]
    assert [list(source(job).shards(at)) for at in whole] == [whole[n:] for n in range(4)]
    assert list(source(job).shards("ab")) == ["b", "b/c"]


def test_a_plan_goes_on_after_any_sample_and_after_one_that_is_gone(job: Path):
    made = source(job)
    whole = list(made.names("b", None))

    assert [one.name for one in whole] == ["1.jpg", "11.jpg", "2.jpg", "3.jpg"]
    assert all(names(made, "b", one) == names(made, "b")[n + 1 :] for n, one in enumerate(whole))
    assert names(made, "b", Listed("12.jpg")) == ["2.jpg", "3.jpg"]


def test_samples_are_read_in_the_order_asked_with_or_without_their_places(job: Path):
    one, eleven, two, three = source(job).names("b", None)

    found = source(job).samples("b", [three, Listed(one.name), two, Listed(eleven.name)])

    assert [raw.id for raw in found] == ["b/3.jpg", "b/1.jpg", "b/2.jpg", "b/11.jpg"]


def test_merged_parts_are_the_same_data_set(job: Path):
    before, planned = columns(source(job)), list(source(job).names("b", None))
    merge(job)

    assert columns(source(job)) == before
    assert [raw.error for raw in source(job).samples("b", planned)] == [""] * 4


def test_a_row_that_was_taken_back_stays_so_where_merged_parts_are_still_there(job: Path):
    """As after a kill of compact before it had hidden them."""
    folder = PartFolder(job.parent, job.name)
    old = folder.published()
    name = merged(folder, old)
    for part in old:
        folder.retired(part).rename(folder.file(part))
    rows = pq.read_table(folder.file(name), partitioning=None)
    pq.write_table(
        rows.filter([id_ != "b/2.jpg" for id_ in rows["id"].to_pylist()]), folder.file(name)
    )

    assert sorted(columns(source(job))) == sorted(path for path in PATHS if path != "b/2.jpg")


def test_parts_that_are_merged_while_a_source_is_open_are_found_again(job: Path):
    made = source(job)
    planned = list(made.names("b", None))
    merge(job)

    assert [raw.columns["captions"] for raw in made.samples("b", planned)] == [
        [f"captions of b/{one.name}"] for one in planned
    ]


def test_merged_parts_are_looked_through_once_for_all_samples_of_a_shard(
    job: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of a shard of millions each look takes a minute."""
    made, looks = source(job), []
    planned = list(made.names("b", None))
    merge(job)
    ids = Roll._ids
    monkeypatch.setattr(Roll, "_ids", lambda *args: looks.append(args[1]) or ids(*args))

    found = [raw for one in planned for raw in made.samples("b", [one])]

    assert [raw.error for raw in found] == [""] * 4
    assert len(looks) == len(set(looks))


def test_a_part_that_is_replaced_while_it_is_listed_is_planned_anew(job: Path):
    made = source(job)
    shards = made.shards()
    next(shards)
    merge(job)

    with pytest.raises(ShardChanged):
        list(made.names("b", None))
    assert list(made.shards()) == [".", "a", "b", "b/c"]
    assert len(list(made.names("b", None))) == 4


def test_a_row_that_was_taken_back_is_told_and_the_others_are_read(job: Path):
    made = source(job)
    planned = list(made.names("b", None))
    for part in job.glob("part-*.parquet"):
        rows = pq.read_table(part, partitioning=None)
        pq.write_table(rows.filter([id_ != "b/2.jpg" for id_ in rows["id"].to_pylist()]), part)

    found = list(made.samples("b", planned))

    assert [raw.error for raw in found] == ["", "", "no part has a row of it any more", ""]


@pytest.mark.parametrize(
    "place", ["0:0:../../secret.parquet", "7:0:part-x.parquet", "0:99:x", "0:-1:x", ":", "0:0:"]
)
def test_a_place_made_up_leads_nowhere(job: Path, place: str):
    [raw] = source(job).samples("b", [Listed("1.jpg", place)])

    assert (raw.error, raw.columns) == ("", {"captions": ["captions of b/1.jpg"]})


@pytest.mark.parametrize("name", ["../9.jpg", "no.jpg", ""])
def test_a_name_made_up_is_told_and_the_others_are_read(job: Path, name: str):
    made_up, other = source(job).samples("b", [Listed(name), Listed("1.jpg")])

    assert (made_up.error, other.error) == ("no part has a row of it any more", "")


def test_of_two_rows_of_a_sample_the_one_of_the_latest_settings_counts(tmp_path: Path):
    [one] = photos(tmp_path / "photos", "1.jpg")
    job = write(tmp_path / "first", [one])
    [part] = job.glob("part-*")
    rows = pq.read_table(part, partitioning=None)
    later = rows.to_pylist()[0] | {"settings_version": 12, "captions": ["later"]}
    pq.write_table(rows.from_pylist([later], rows.schema), job / "part-0.parquet")
    earlier = later | {"settings_version": 9, "captions": ["not this one"]}
    pq.write_table(rows.from_pylist([earlier], rows.schema), job / "part-z.parquet")

    assert columns(source(job)) == {"1.jpg": {"captions": ["later"]}}


def test_own_columns_are_carried_as_they_were(tmp_path: Path):
    told = [
        {"title": "a", "tags": {"deep": [1]}, "model": "mine", "late": None},
        {"title": "b", "tags": "text", "model": None, "odd": 7},
    ]
    root = tmp_path / "photos"
    photos(root, "0.jpg", "1.jpg")
    own = [sample(str(root), ".", f"{n}.jpg", columns=told[n]) for n in range(2)]
    job = write(tmp_path / "first", own)

    assert columns(source(job)) == {
        f"{n}.jpg": {
            "captions": [f"captions of {n}.jpg"],
            "title": "ab"[n],
            "tags": told[n]["tags"],
            "column_model": told[n]["model"],
            "odd": told[n].get("odd"),
        }
        for n in range(2)
    }


def test_what_stands_in_extra_is_carried_as_columns(tmp_path: Path):
    root = tmp_path / "photos"
    photos(root, "0.jpg", "1.jpg")
    own = [sample(str(root), ".", "0.jpg"), sample(str(root), ".", "1.jpg", columns={"new": 1})]
    job = write(tmp_path / "first", own[:1])
    parts = sorted(job.glob("part-*"))
    agreed = pq.read_schema(parts[0]).metadata[AGREED]
    write(tmp_path / "other", own[1:])
    [late] = (tmp_path / "other").glob("part-*")
    rows = pq.read_table(late, partitioning=None).drop_columns(["new"]).to_pylist()
    schema = pq.read_schema(parts[0])
    made = schema.empty_table().from_pylist([rows[0] | {"extra": '{"new":1}'}], schema)
    pq.write_table(made.replace_schema_metadata({AGREED: agreed}), job / "part-late.parquet")

    assert columns(source(job))["1.jpg"] == {"captions": ["captions of 1.jpg"], "new": 1}


def test_rows_whose_ids_belong_to_no_shard_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    ours, *odd = photos(tmp_path / "photos", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    shards = ("other", "other", "z")
    odd = [replace(one, shard=shard) for one, shard in zip(odd, shards, strict=True)]
    job = write(tmp_path / "first", [ours, *odd], per_part=4)

    assert list(columns(source(job))) == ["1.jpg"]
    [told] = caplog.messages
    assert told.startswith("2 rows of the shard other are passed over, the first in ")


def test_shards_that_share_row_groups_read_each_group_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    samples = [sample("/photos", f"s{n % 5}", f"{n:02}.jpg") for n in range(40)]
    job = write(tmp_path / "first", samples, per_part=5)
    made, decoded = source(job, image_root=str(tmp_path)), []
    real = roll._decoded
    monkeypatch.setattr(roll, "_decoded", lambda *args: decoded.append(args[0].name) or real(*args))

    listed = [len(names(made, shard)) for shard in made.shards()]

    assert listed == [8] * 5
    assert len(decoded) == len(set(decoded)) == 8


def test_row_groups_that_are_kept_stay_within_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roll, "_KEPT_BYTES", 600)
    samples = [sample("/photos", f"s{n % 5}", f"{n:02}.jpg") for n in range(40)]
    made = source(write(tmp_path / "first", samples, per_part=5), image_root=str(tmp_path))

    assert [len(names(made, shard)) for shard in made.shards()] == [8] * 5
    assert 0 < made._roll._kept_bytes <= 600
    assert len(made._roll._kept) < 8


def test_columns_may_be_chosen_of_all_that_the_parts_have(job: Path):
    found = columns(source(job, columns=("captions", "model")))["9.jpg"]

    assert found == {"captions": ["captions of 9.jpg"], "model": "none"}


def test_a_column_that_no_part_has_is_told_before_anything_is_read(job: Path):
    with pytest.raises(ConfigError, match=r"names caption, which no column of .*There are: id, "):
        source(job, columns=("caption",))


def test_a_folder_without_parts_is_told_with_the_jobs_in_it(tmp_path: Path, job: Path):
    (tmp_path / "none").mkdir()

    with pytest.raises(SourceError, match=r"holds no captions: there is no part-.*\. Give the fol"):
        source(tmp_path / "none")
    with pytest.raises(SourceError, match=f"Did you mean one of the jobs in it: {job}\\?"):
        source(job.parent)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SourceError, match=r"nowhere is no folder of this host\. dataset_path must"):
        source(tmp_path / "nowhere")


def test_tables_of_others_are_told(tmp_path: Path, job: Path):
    [*_, part] = job.glob("part-*")
    rows = pq.read_table(part, partitioning=None)
    (tmp_path / "spark").mkdir()
    pq.write_table(rows.drop_columns(["shard"]), tmp_path / "spark" / "part-00000.parquet")

    with pytest.raises(FileUnreadable, match="is no part of a job: it has no column shard"):
        source(tmp_path / "spark")


def test_parts_without_a_row_have_no_samples(job: Path):
    for part in job.glob("part-*"):
        pq.write_table(pq.read_table(part, partitioning=None).slice(0, 0), part)

    assert list(read(source(job))) == []


@pytest.mark.parametrize("run", [2, 1000])
def test_any_names_are_listed_in_one_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
):
    """Also names that begin like others, and marks that stand between them in a sorted line."""
    monkeypatch.setattr(ordered, "RUN", run)
    told = ["a", "a\x01", "a\x01b", "a\x02", "a\x02c", "ab", "a\nb", "é", "\U0001f600", "0:1:x"]
    shuffled = random.Random(1).sample(told, len(told))
    job = write(tmp_path / "first", [sample("/photos", "s", name) for name in shuffled])
    made = source(job, image_root=str(tmp_path))

    whole = list(made.names("s", None))

    assert sorted(one.name for one in whole) == sorted(told)
    assert all(names(made, "s", one) == names(made, "s")[n + 1 :] for n, one in enumerate(whole))


def test_no_file_stays_open(job: Path):
    list(read(source(job)))
    before = open_files()

    rounds = 5
    for _ in range(rounds):
        list(read(source(job)))

    assert open_files() < before + rounds  # others in this process open some, too
