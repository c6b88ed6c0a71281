"""`export --format huggingface_hub`: from the parts of a job to a data set on a hub."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.cli.export_facts import Told
from caption_flow.dataset.columns import STAGES, infer
from caption_flow.export.hub import push as hub_
from caption_flow.export.hub.veil import Veil
from caption_flow.plain import in_markdown
from tests.export.command import export, refused
from tests.export.hub_server import WritableHub, hub
from tests.export.makers import made, sunk
from tests.view.parts import SCHEMA, numbered, part_name, write_part, write_parts

__all__ = ["hub"]

REPO = "ann/caps"
WORDS = ("--format", "huggingface_hub", "--hf-dataset", REPO)
ROWS, PER_PART, PER_FILE = 100, 40, 30

# The library's own client asks for it, when it sends a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "caption_data" / "photos"
    for _ in write_parts(folder, ROWS, PER_PART):
        pass
    return folder


def publish(parts: Path, *words: object) -> str:
    said = export(parts, *WORDS, "--rows-per-file", PER_FILE, *words)
    assert said.code == 0, said.words
    return said.out + said.err


def rows(hub: WritableHub) -> list[dict[str, Any]]:
    files = {name: data for name, data in hub.tree(REPO).items() if name.startswith("data/")}
    return [row for name in sorted(files) for row in _read(files[name])]


def _read(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_rows_become_files_of_one_size_with_a_card(hub: WritableHub, parts: Path) -> None:
    publish(parts, "--license", "cc-by-4.0", "--tags", "birds, sky", "--nsfw", "--private")
    tree = hub.tree(REPO)
    card = tree["README.md"].decode()

    names = [f"data/train-{n:05}-of-00004.parquet" for n in range(4)]
    assert sorted(name for name in tree if name.startswith("data/")) == names
    assert [row["id"] for row in rows(hub)] == [row["id"] for row in expected()]
    assert [row["captions"] for row in rows(hub)] == [row["captions"] for row in expected()]
    assert hub.is_private(REPO)
    for told in ("license: cc-by-4.0", "- birds", "- sky", "- not-for-all-audiences", "3f2a9c1d"):
        assert told in card


def expected() -> list[dict[str, Any]]:
    return [
        row
        for start in range(0, ROWS, PER_PART)
        for row in numbered(start, min(PER_PART, ROWS - start))
    ]


def test_the_same_export_again_sends_nothing(hub: WritableHub, parts: Path) -> None:
    publish(parts)
    sent = len(hub.uploads)

    assert "nothing was uploaded" in publish(parts)
    assert (len(hub.uploads), len(hub.commits)) == (sent, 1)


def test_new_parts_send_the_files_that_they_change(hub: WritableHub, parts: Path) -> None:
    publish(parts)
    sent = len(hub.uploads)
    write_part(parts, part_name(9), numbered(ROWS, 10))
    publish(parts)

    # The first three are what they were, though their names tell of another number of files.
    assert len(hub.uploads) == sent + 1
    assert len(rows(hub)) == ROWS + 10


def test_a_cut_upload_is_gone_on_with(hub: WritableHub, parts: Path) -> None:
    hub.cut_after = 10_000
    publish(parts)

    assert len(rows(hub)) == ROWS
    assert len({digest for digest, _ in hub.uploads}) == len(hub.uploads) == 4


@pytest.mark.usefixtures("hub")
def test_nothing_is_left_here(parts: Path, tmp_path: Path) -> None:
    publish(parts)

    assert sorted(one.name for one in tmp_path.iterdir()) == ["caption_data"]


@pytest.mark.usefixtures("hub")
def test_a_refused_token_costs_no_export(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = export(parts, *WORDS)

    assert said.code == 2
    assert "HF_TOKEN" in said.err
    assert "hf_wrong" not in f"{said.out}{said.err}"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["caption_data"]


def test_an_export_of_nothing_empties_no_data_set(
    hub: WritableHub, parts: Path, tmp_path: Path
) -> None:
    publish(parts)
    said = refused(parts, *WORDS, "--where", "width < 0")

    assert "would be emptied" in said
    assert len(rows(hub)) == ROWS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["caption_data"]


def test_files_of_others_are_replaced_only_by_wish(hub: WritableHub, parts: Path) -> None:
    publish(parts)
    hub.edit(REPO, {"README.md": b"# Mine\n"})

    assert "--overwrite" in refused(parts, *WORDS)
    publish(parts, "--overwrite")


def test_who_was_not_asked_is_not_named(hub: WritableHub, parts: Path) -> None:
    """No Redis tells who wants to be named, so nobody is."""
    said = publish(parts)

    assert "Contributors are not named" in said
    assert not NAMES.intersection(words(hub))


def test_workers_are_not_named_whichever_columns_are(hub: WritableHub, parts: Path) -> None:
    publish(parts, "--columns", "id,worker")

    assert {row["worker"] for row in rows(hub)} == {None}


def test_who_is_anonymous_by_now_is_not_in_what_is_gone_on_with(
    hub: WritableHub, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_, "_TRIES", 1)
    monkeypatch.setattr(Told, "named", frozenset(NAMES))
    hub.lose_commit = True
    assert export(parts, *WORDS, "--rows-per-file", PER_FILE).code == 1
    monkeypatch.setattr(Told, "named", frozenset({"ann"}))
    publish(parts)

    assert {row["contributor"] for row in rows(hub)} == {None, "ann", "anonymous"}
    assert NAMES.intersection(words(hub)) == {"ann"}


def test_a_card_counts_the_rows_of_the_files(hub: WritableHub, parts: Path) -> None:
    publish(parts, "--explode", "--limit", 30)
    card = hub.tree(REPO)["README.md"].decode()

    assert len(rows(hub)) == 60
    assert "| rows | 60 |" in card
    assert "Captions of 30 images" in card
    assert "| output | string | which of the job" in card
    assert "| caption | string | one of the texts" in card
    assert "## Captions" not in card  # of columns that are not there


def test_a_card_tells_of_written_columns_only(hub: WritableHub, parts: Path) -> None:
    publish(parts, "--pick", "longest", "--columns", "caption,width")
    card = hub.tree(REPO)["README.md"].decode()

    assert "| caption | string | the text that was taken" in card
    assert "| tags |" not in card
    assert "column `prompts`" not in card


@pytest.mark.usefixtures("parts")
def test_a_card_tells_what_is_of_answers_in_json(hub: WritableHub, tmp_path: Path) -> None:
    some = [made(n, ["a dog"], fields={"mood": "glad"}) for n in range(3)]
    agreed = infer(["captions"], [], {"mood": "string"})
    publish(sunk(tmp_path / "moods", some, agreed=agreed))

    assert "| mood | string | from the answer" in hub.tree(REPO)["README.md"].decode()


def words(hub: WritableHub) -> set[str]:
    """All words that are published."""
    card = hub.tree(REPO)["README.md"].decode().replace(in_markdown(REPO), "")
    return set(re.findall(r"\w+", str(rows(hub)) + card))


NAMES = {"ann", "bob", "cleo"}


def test_a_veil_hides_those_who_want_it_and_where_files_lie() -> None:
    places = ("/home/ann/a.jpg", "https://host/a.jpg")
    bare = [row | {"source": places[n % 2]} for n, row in enumerate(numbered(0, 40))]
    seen = veiled(pa.RecordBatch.from_pylist(bare, schema=SCHEMA))

    for before, after in zip(bare, seen, strict=True):
        assert after["contributor"] == hidden(before["contributor"])
        assert [one["contributor"] for one in after[STAGES]] == [
            hidden(one["contributor"]) for one in before[STAGES]
        ]
        assert after["worker"] is None
        assert after["source"] == (before["source"] if "host" in before["source"] else None)
        assert after["captions"] == before["captions"]


@pytest.mark.parametrize("column", ["worker", "contributor", "source", STAGES])
def test_a_veil_needs_no_other_column(column: str) -> None:
    [lone] = {str(row) for row in veiled(one_row().select([column]))}

    assert not any(secret in lone for secret in ("bob", "worker-", "/data"))


def test_a_veil_covers_columns_of_an_earlier_job() -> None:
    earlier = {
        "column_contributor": "bob",
        "column_column_worker": "host-of-bob",
        "column_source": "/home/bob/x.jpg",
        "column_stages": '[{"stage":"tag","contributor":"bob","output_tokens":3}]',
        "resource": "mine",
    }
    batch = one_row()
    for name, value in earlier.items():
        batch = batch.append_column(name, pa.array([value]))
    place = batch.schema.get_field_index("extra")
    extra = r'{"contributor": "b\"ob","title":"say \"worker\":\"x\""}'
    [seen] = veiled(batch.set_column(place, "extra", pa.array([extra])))

    assert "bob" not in str(seen)
    assert seen["column_contributor"] == "anonymous"
    assert seen["column_stages"] == '[{"stage":"tag","contributor":null,"output_tokens":3}]'
    assert seen["resource"] == "mine"
    assert json.loads(seen["extra"]) == {"contributor": None, "title": 'say "worker":"x"'}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("https://ann:pw@host/a.jpg?X-Amz-Date=1&X-Amz-Signature=S#x", "https://host/a.jpg"),
        ("HTTPS://host/a.tar?se=1&sig=S::b/c.jpg", "HTTPS://host/a.tar::b/c.jpg"),
        ("https://host/a.jpg?w=sig&h=3", "https://host/a.jpg?w=sig&h=3"),
        ("hf://datasets/ann/a@main/b.jpg", "hf://datasets/ann/a@main/b.jpg"),
        ("pipe:curl https://host/a.tar", None),
        (None, None),
    ],
)
def test_a_url_is_published_without_its_secrets(source: str | None, said: str | None) -> None:
    batch = pa.RecordBatch.from_pydict({"source": pa.array([source], pa.string())})

    assert veiled(batch) == [{"source": said}]


def veiled(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    seen = Veil({"ann"}.__contains__).over(batch)
    assert seen.schema == batch.schema
    return seen.to_pylist()


def one_row() -> pa.RecordBatch:
    """A row of bob, whom nobody may name."""
    return pa.RecordBatch.from_pylist(
        [row for row in numbered(0, 40) if row["contributor"] == "bob"][:1], schema=SCHEMA
    )


def hidden(name: str | None) -> str | None:
    return name if name in {None, "ann"} else "anonymous"
