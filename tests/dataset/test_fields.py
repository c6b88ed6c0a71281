"""Fields of structured answers, and what became of the checks, as columns of real parts."""

import json
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.rows import arrow_schema, column_names, table
from caption_flow.model import Caption
from tests.made import caption, outcome

FIELDS = {
    "shape": "string",
    "size": "int64",
    "share": "double",
    "round": "bool",
    "tags": "list<string>",
    "box": "json",
}
ANSWER: dict[str, Any] = {
    "shape": "circle",
    "size": 3,
    "share": 0.5,
    "round": True,
    "tags": ["a", "b"],
    "box": {"x": [1, None]},
}
# As the version before wrote it into Redis and into its parts.
OLD = b'{"columns":{"attempts":"int64","title":"string"},"outputs":["captions"]}'


def answered(number: int, *answers: dict[str, Any], **columns: Any) -> Caption:
    """A caption with an outcome for each answer, which is what is told of the outcome."""
    made = [msgspec.structs.replace(outcome(number=number), **answer) for answer in answers]
    return msgspec.structs.replace(caption(number, columns=columns), outcomes=tuple(made))


def row(of: Caption, agreed: ColumnSchema) -> dict[str, Any]:
    [made] = table([of], agreed, arrow_schema(agreed)).to_pylist()
    return made


def written(folder: PartFolder, agreed: ColumnSchema, *captions: Caption) -> Path:
    part = folder.open(agreed)
    part.append(captions)
    part.prepare()
    part.publish()
    return folder.file(part.name)


def test_fields_are_typed_columns_in_a_part(tmp_path: Path):
    agreed = infer(["captions"], [], FIELDS)
    file = written(
        PartFolder(tmp_path, "books"),
        agreed,
        answered(0, {"fields": ANSWER}),
        answered(1, {"fields": {"shape": None}}),
    )

    schema = pq.read_schema(file)
    types = {name: str(schema.field(name).type) for name in FIELDS}
    with duckdb.connect() as database:
        names = ", ".join(f'"{name}"' for name in FIELDS)
        rows = database.sql(f"SELECT {names} FROM '{file}' ORDER BY id").fetchall()
        [(size,)] = database.sql(f"SELECT sum(size) FROM '{file}' WHERE round").fetchall()
    assert types == {
        "shape": "string",
        "size": "int64",
        "share": "double",
        "round": "bool",
        "tags": "list<element: string>",
        "box": "string",
    }
    assert rows == [("circle", 3, 0.5, True, ["a", "b"], '{"x":[1,null]}'), (None,) * 6]
    assert size == 3


def test_a_field_that_does_not_fit_stands_in_extra():
    agreed = infer(["captions"], [], {"size": "int64"})

    made = row(answered(0, {"fields": {"size": 0.5, "new": [1]}}), agreed)

    assert made["size"] is None
    assert json.loads(made["extra"]) == {"field_size": 0.5, "field_new": [1]}


def test_a_field_in_extra_leaves_the_columns_of_the_sample_there_alone():
    agreed = infer([], [])

    made = row(answered(0, {"fields": {"a": 1}}, a=2, field_a=3), agreed)

    assert json.loads(made["extra"])["a"] == 2
    assert json.loads(made["extra"])["field_a"] == 3
    assert json.loads(made["extra"])["_field_a"] == 1


def test_a_sample_column_named_as_a_field_moves_aside():
    agreed = infer(["captions"], [{"shape": 1, "attempts": "x"}], {"shape": "string"})

    made = row(answered(0, {"fields": {"shape": "a"}}, shape=1, attempts="x"), agreed)

    assert column_names(agreed) == {"shape": "column_shape", "attempts": "column_attempts"}
    assert (made["shape"], made["column_shape"]) == ("a", 1)
    assert (made["attempts"], made["column_attempts"]) == (1, "x")


def test_flags_of_all_stages_name_their_stage():
    made = row(
        answered(
            0,
            {"stage": "describe", "flags": ("too_short", "echo"), "tries": 2},
            {"stage": "tag", "flags": ("language",), "tries": 4},
            {"stage": "shorten"},
        ),
        infer(["captions"], []),
    )

    assert made["quality_flags"] == ["describe:too_short", "describe:echo", "tag:language"]
    assert made["attempts"] == 4


def test_a_row_without_flags_has_an_empty_list_and_one_attempt():
    made = row(caption(0), infer(["captions"], []))

    assert (made["quality_flags"], made["attempts"]) == ([], 1)


def test_columns_agreed_on_before_are_read_as_they_were():
    agreed = ColumnSchema.decode(OLD)

    assert (agreed.fields, agreed.later) == ({}, ())
    assert column_names(agreed) == {"attempts": "attempts", "title": "title"}


def test_parts_of_a_job_begun_before_keep_their_schema(tmp_path: Path):
    folder = PartFolder(tmp_path, "books")
    agreed = ColumnSchema.decode(OLD)
    _of_the_version_before(folder, agreed)

    found = folder.agreed()
    assert found is not None
    flagged = {"fields": {"shape": "a"}, "flags": ("echo",), "tries": 2}
    file = written(folder, found, answered(1, flagged, attempts=7))

    one, other = (pq.read_schema(folder.file(part)) for part in folder.published())
    assert one.equals(other)
    with duckdb.connect() as database:
        sql = f"SELECT id, attempts FROM '{folder.path}/*.parquet' ORDER BY id"
        assert database.sql(sql).fetchall() == [("00000.jpg", 5), ("00001.jpg", 7)]
    [made] = pq.read_table(file, partitioning=None).to_pylist()
    assert json.loads(made["extra"]) == {
        "field_shape": "a",
        "quality_flags": ["caption:echo"],
        "attempts": 2,
    }


def _of_the_version_before(folder: PartFolder, agreed: ColumnSchema) -> None:
    """Write a part with the metadata that the version before wrote."""
    file = written(folder, agreed, answered(0, {}, attempts=5))
    table_ = pq.read_table(file, partitioning=None)
    pq.write_table(table_.replace_schema_metadata({b"caption_flow.columns": OLD}), file)


def test_types_of_the_new_columns():
    schema = arrow_schema(infer([], []))

    assert schema.field("quality_flags").type == pa.list_(pa.string())
    assert schema.field("attempts").type == pa.int32()
