"""Tables that are damaged, odd or meant to harm: told in words, and good rows are had."""

import tracemalloc
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caption_flow.errors import SourceError
from feeders.tables import BadRow, open_table
from feeders.tables.values import carried
from tests.feeders import tables
from tests.feeders.tables import Disk, column, listed, table, text

ROWS = [{"url": f"https://example.com/{n}.jpg"} for n in range(30)]
LONG = "x" * (1 << 20)


def read(path: Path) -> list[object]:
    made = table(path)
    return [
        row.why if isinstance(row, BadRow) else list(row.values())
        for row in made.read(listed(made), None)
    ]


def test_line_ends_of_windows_are_no_part_of_a_cell(tmp_path: Path):
    assert read(text(tmp_path / "t.csv", "a,b\r\n1,2\r\n\r\n3,4")) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_the_last_line_counts_however_it_ends(tmp_path: Path, end: str):
    assert read(text(tmp_path / "t.csv", "a\n1\n2" + end)) == [["1"], ["2"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", "a\n1\n2\n"), ("t.jsonl", '{"a": "1"}\n{"a": "2"}\n'), ("t.txt", "1\n2\n")],
)
def test_a_mark_before_the_text_is_no_part_of_it(tmp_path: Path, name: str, content: str):
    path = text(tmp_path / name, content.encode("utf-8-sig"))

    assert read(path) == [["1"], ["2"]]
    assert table(path).columns == (("url",) if name == "t.txt" else ("a",))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt"])
def test_utf_16_is_refused_with_what_to_do(tmp_path: Path, name: str):
    with pytest.raises(SourceError, match=r"is UTF-16\. Convert it to UTF-8"):
        table(text(tmp_path / name, "a\n1\n".encode("utf-16")))


def test_a_quote_within_a_cell_is_a_quote(tmp_path: Path):
    path = text(tmp_path / "t.csv", 'a,b\n5" tall,1\n"x ""y"",\n\nz",2\n"q"r,3\n')

    assert read(path) == [['5" tall', "1"], ['x "y",\n\nz', "2"], ["qr", "3"]]


def test_ragged_rows_are_told_and_the_others_are_read(tmp_path: Path):
    few, good, many = read(text(tmp_path / "t.csv", "a,b\n1\n1,2\n1,2,3\n"))

    assert good == ["1", "2"]
    assert str(few).startswith("the row has 1 cells, and the header has 2")
    assert str(many).startswith("the row has 3 cells, and the header has 2")
    assert column(table(tmp_path / "t.csv"), "b") == [None, "2", None]


@pytest.mark.parametrize(
    ("name", "content", "good"),
    [
        ("t.csv", b'a\n"x\n\xff"\nb\n', "b"),
        ("t.jsonl", b'{"a": "\xff"}\n{"a": "b"}\n', "b"),
        ("t.txt", b"\xff\nb\n", "b"),
    ],
)
def test_a_row_that_is_no_utf_8_is_told(tmp_path: Path, name: str, content: bytes, good: str):
    bad, row = read(text(tmp_path / name, content))

    assert row == [good]
    assert "utf-8" in str(bad).lower()


def test_zero_bytes_are_text(tmp_path: Path):
    assert read(text(tmp_path / "t.csv", "a\nx\0y\nz\n")) == [["x\0y"], ["z"]]


def test_a_carriage_return_within_a_line_of_csv_is_told(tmp_path: Path):
    bad, good = read(text(tmp_path / "t.csv", "a,b\n1\r2,3\n4,5\n"))

    assert "cannot be read" in str(bad)
    assert good == ["4", "5"]


def test_a_large_cell_is_read(tmp_path: Path):
    assert read(text(tmp_path / "t.csv", f"a\n{LONG[9:]}\nb\n")) == [[LONG[9:]], ["b"]]


@pytest.mark.parametrize("rest", [LONG, '"\n' + "row\n" * (1 << 18)], ids=["line", "quote"])
def test_a_row_of_csv_that_does_not_end_is_refused_with_its_place(tmp_path: Path, rest: str):
    made = table(text(tmp_path / "t.csv", f"a\n1\n{rest}\n2\n"))

    with pytest.raises(SourceError, match=r"t.csv has a row at byte 4 that does not end within"):
        listed(made)


@pytest.mark.parametrize("name", ["t.jsonl", "t.txt"])
def test_a_line_that_is_too_long_is_told_and_passed(tmp_path: Path, name: str):
    good = '{"url": "b"}' if name == "t.jsonl" else "b"
    bad, row = read(text(tmp_path / name, f"{LONG}xxx\n{good}\n"))

    assert bad == "the line has more than 1,048,576 bytes"
    assert row == ["b"]


def test_lists_of_urls_may_have_comments(tmp_path: Path):
    assert read(text(tmp_path / "t.txt", "# mine\n\na \r\n #no\nb")) == [["a"], ["b"]]


def test_what_is_no_object_is_told(tmp_path: Path):
    path = text(tmp_path / "t.jsonl", '[1]\n{"a": NaN}\n{"a":\n{"b": 1}\n' + "[" * 9999 + "\n")
    made = table(path)

    assert column(made, "b") == [None, None, None, 1, None]
    assert [isinstance(row, BadRow) for row in made.read(listed(made), ["b"])] == [
        True, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("https://example.com/1.jpg\n", "has no header"),
        ("a,b,a\n1,2,3\n", "has several columns named a"),
    ],
)
def test_a_header_is_needed(tmp_path: Path, content: str, says: str):
    with pytest.raises(SourceError, match=says):
        table(text(tmp_path / "t.csv", content))


@pytest.mark.parametrize("place", ["-3", "1e3", "٣", "9" * 30, "3", " 2"])
def test_a_place_made_up_gives_no_row(tmp_path: Path, place: str):
    made = table(text(tmp_path / "t.csv", "a\n11\n22\n33\n"))

    [made_up, real] = made.read([(0, place), (2, "8")], None)

    assert real == {"a": "33"}
    assert isinstance(made_up, BadRow) or made_up == {"a": "1"}


FORMATS = [
    ("t.parquet", tables.by_arrow),
    ("t.arrow", tables.by_arrow_stream),
    ("t.arrow", tables.by_arrow_file),
]


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_a_table_cut_anywhere_is_told(tmp_path: Path, name: str, write):
    whole = write(tmp_path / name, ROWS).read_bytes()

    for end in range(0, len(whole) - 8, 13):
        with pytest.raises(SourceError, match=r"cannot be read as|damaged|has no column"):
            column(table(text(tmp_path / name, whole[:end])), "url")


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_damage_anywhere_is_told_or_harmless(tmp_path: Path, name: str, write):
    whole = write(tmp_path / name, ROWS).read_bytes()

    for at in range(0, len(whole), 11):
        damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        try:
            made = table(text(tmp_path / name, damaged))
            list(made.read([(number, "") for number in range(30)], None))
            column(made, made.columns[0])
        except SourceError as exc:
            assert name in str(exc)  # noqa: PT017


def test_no_damage_of_a_footer_ends_the_process(tmp_path: Path):
    """A histogram of sizes that does not fit, as when its length has another bit."""
    rows = [{"im": {"bytes": b"x" * n, "path": None}, "l": [n]} for n in range(3)]
    whole = tables.by_arrow(tmp_path / "t.parquet", rows).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")

    for at in range(footer, footer + 700):
        damaged = whole[:at] + bytes([whole[at] ^ 0x54]) + whole[at + 1 :]
        with suppress(SourceError):
            list(table(text(tmp_path / "t.parquet", damaged)).read([(0, "")], None))


def test_damage_of_one_group_leaves_the_others(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=10, compression="none")
    facts = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = facts.dictionary_page_offset or facts.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    made = table(text(path, bytes(data)))

    found = list(made.read([(number, "") for number in range(30)], None))

    assert [isinstance(row, BadRow) for row in found] == [False] * 10 + [True] * 10 + [False] * 10
    assert "t.parquet is damaged there" in found[10].why


def test_columns_of_the_same_name_are_refused(tmp_path: Path):
    made = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(made, tmp_path / "t.parquet")

    with pytest.raises(SourceError, match="has several columns named a"):
        table(tmp_path / "t.parquet")


def test_columns_may_have_dots_and_hold_others(tmp_path: Path):
    rows = [{"a": {"b": n}, "a.b": n + 100, "c": [n]} for n in range(20)]
    made = table(tables.by_arrow(tmp_path / "t.parquet", rows))

    assert column(made, "a.b") == [row["a.b"] for row in rows]
    assert column(made, "a") == [row["a"] for row in rows]
    assert list(made.read([(3, "")], ["c", "a.b", "a"])) == [rows[3]]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_values_that_python_has_no_word_for_are_text(tmp_path: Path, name: str):
    made = pa.table({"n": pa.array([1, 2**62], pa.timestamp("us"))})
    if name == "t.parquet":
        pq.write_table(made, tmp_path / name)
    else:
        with pa.ipc.new_stream(str(tmp_path / name), made.schema) as out:
            out.write_table(made)

    first, last = (carried(row) for row in table(tmp_path / name).read([(0, ""), (1, "")], None))

    assert first == {"n": "1970-01-01T00:00:00.000001"}
    assert isinstance(last["n"], str)


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow_may_have_dictionaries(tmp_path: Path, kind: str):
    words = ["a", "b", "a", "c"] * 10
    made = pa.table({"n": range(40), "word": pa.array(words).dictionary_encode()})
    open_writer = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with open_writer(str(tmp_path / "t.arrow"), made.schema) as out:
        out.write_table(made, max_chunksize=9)

    opened = table(tmp_path / "t.arrow")

    assert column(opened, "word") == words
    assert list(opened.read([(39, ""), (1, "")], ["word"])) == [{"word": "c"}, {"word": "b"}]


def test_memory_is_that_of_some_images_whatever_the_group(tmp_path: Path):
    """A thousand large cells in one group are read by the few."""
    path = tmp_path / "t.parquet"
    cells = pa.array([bytes([n % 251]) * 100_000 for n in range(600)])
    pq.write_table(pa.table({"image": cells}), path, row_group_size=600, write_batch_size=8,
                   use_dictionary=False, compression="none")  # fmt: skip
    del cells
    made = table(path)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        most = 0
        for row in made.read([(number, "") for number in range(600)], ["image"]):
            assert isinstance(row, dict)
            most = max(most, pa.total_allocated_bytes() - before)
        _, python = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 16 << 20
    assert python < 4 << 20


def test_chunks_of_a_large_group_go_on_where_the_last_one_ended(tmp_path: Path):
    path = tmp_path / "t.parquet"
    cells = pa.array([bytes([n % 251]) * 10_000 for n in range(1000)])
    pq.write_table(pa.table({"image": cells}), path, row_group_size=1000, write_batch_size=8,
                   use_dictionary=False, compression="none")  # fmt: skip
    file = Disk(path)
    made = open_table(file)

    for first in range(0, 1000, 50):
        assert len(list(made.read([(first + n, "") for n in range(50)], ["image"]))) == 50

    assert file.had < 1.2 * path.stat().st_size


def test_rows_are_listed_by_the_footer_alone(tmp_path: Path):
    path = tables.by_arrow(
        tmp_path / "t.parquet", [{"image": b"x" * 10_000, "n": n} for n in range(500)], 100
    )
    file = Disk(path)

    assert len(listed(open_table(file))) == 500
    assert file.had < 70_000


def test_values_become_those_of_json():
    row = {
        "when": datetime(2024, 1, 2, 3), "day": date(2024, 1, 2), "long": timedelta(seconds=90),
        "cost": Decimal("1.50"), "nan": float("nan"), "raw": b"x", "id": UUID(int=1),
        "deep": {"raw": b"x", "list": [float("inf"), b"x", (1, True)]},
    }  # fmt: skip

    assert carried(row) == {
        "when": "2024-01-02T03:00:00", "day": "2024-01-02", "long": "0:01:30", "cost": "1.50",
        "nan": None, "id": "00000000-0000-0000-0000-000000000001",
        "deep": {"list": [None, None, [1, True]]},
    }  # fmt: skip


def test_an_arrow_batch_that_claims_rows_without_end_is_damaged(tmp_path: Path):
    """Else they would be planned one after the other, for ever."""
    made = pa.table({"n": [str(n) for n in range(1077)]})
    path = tmp_path / "x.arrow"
    with pa.ipc.new_stream(path, made.schema) as out:
        out.write_table(made)
    told, lie = (n.to_bytes(8, "little") for n in (1077, 1 << 56))
    path.write_bytes(path.read_bytes().replace(told, lie))

    with pytest.raises(SourceError, match="cannot be read as Arrow"):
        table(path)


def test_a_parquet_footer_that_claims_rows_without_end_is_damaged(tmp_path: Path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": [str(n) for n in range(1077)]}), path)
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:-8].replace(_as_thrift(1077), _as_thrift(1 << 40))
    path.write_bytes(data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1")

    with pytest.raises(SourceError, match="claims 1,099,511,627,776 rows that are not there"):
        table(path)


def _as_thrift(number: int) -> bytes:
    """Spell a field of 64 bits that comes right after another."""
    spelled, rest = b"\x16", 2 * number
    while rest > 127:
        spelled += bytes([rest & 127 | 128])
        rest >>= 7
    return spelled + bytes([rest])


def test_a_parquet_file_of_many_equal_rows_is_none(tmp_path: Path):
    equal = pa.array(["u"]).take(pa.array([0] * 3_000_000))
    pq.write_table(pa.table({"url": equal}), tmp_path / "x.parquet")

    assert next(table(tmp_path / "x.parquet").rows(None, (2_999_998, ""))).number == 2_999_999


@pytest.mark.parametrize("bad", [b'"https://\xff"', b'"\\ud800"', b"[" * 100_000, b"1e999"])
def test_a_line_of_json_that_cannot_be_read_is_listed_as_a_row(tmp_path: Path, bad: bytes):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"url": "a"}\n{"url": %s}\n{"url": "b"}\n' % bad)

    first, _, last = column(table(path), "url")
    assert (first, last) == ("a", "b")
