"""Letters in words: everything of one is told, and nothing in it gives the terminal orders."""

import csv
import io
import json

from caption_flow.cli.exporting import export
from caption_flow.cli.letters import in_full, show_table, sum_up, survey
from caption_flow.model import DeadLetter, Failure, Outcome, Sample
from caption_flow.queue.ports import Letters

WHY = Failure("engine", "too hot", 30.0, "tell", 3, "w2")
EARLIER = (
    Failure("engine", "too cold", 10.0, "tell", 1, "w1"),
    Failure("engine_died", "gone", 20.0, "tell", 2, "w2"),
)
LOOKED = Outcome("look", {"tags": ["a cat"]}, "e", "m", "p", 1, 2, ["stop"], 1, 1, "w", "", 5.0)
ODD = "\x1b[2Jodd\udcff\n.jpg"  # a name as file systems have them


def letter(id_: str = "a.jpg", **changes: object) -> DeadLetter:
    sample = Sample(id_, "data", ".", "c", "source", 4, 3, "jpeg", 2000, "ab12", **changes)
    return DeadLetter("1-0", sample, WHY, EARLIER, (LOOKED,))


async def batches(*letters: DeadLetter) -> Letters:  # type: ignore[misc]
    for one in letters:
        yield [one]


def test_everything_of_a_letter_is_told():
    told = in_full(letter(columns={"artist": "Zoë"}, sampling={"top_k": 3}))

    name, *lines = told.splitlines()
    said = {line[:12].strip(): line[12:] for line in lines}
    assert name == "a.jpg"
    assert (said["reason"], said["detail"]) == ("engine", "too hot")
    assert said["given up"].endswith("by w2, stage tell, attempt 3")
    assert said["earlier 1"].startswith("engine, too cold, ")
    assert said["earlier 2"].endswith("by w2, stage tell, attempt 2")
    assert said["image"] == "jpeg, 4 x 3, 2,000 bytes, sha256 ab12"
    assert json.loads(said["columns"]) == {"artist": "Zoë"}
    assert json.loads(said["sampling"]) == {"top_k": 3}
    assert said["passed"] == 'look: {"tags":["a cat"]}'
    assert said["letter"] == "1-0"


def test_what_a_letter_has_not_is_not_told():
    bare = DeadLetter("1-0", Sample("a.jpg", "d", ".", "c", "s"), Failure("empty", "no bytes"))

    names = [line[:12].strip() for line in in_full(bare).splitlines()[1:]]
    assert names == ["reason", "detail", "given up", "source", "shard", "chunk", "letter"]


def test_name_of_a_file_gives_no_orders_to_the_terminal():
    assert in_full(letter(ODD)).startswith("\\x1b[2Jodd\\udcff\\n.jpg\n")


def test_table_has_a_line_for_each_letter(capsys):
    show_table([letter(), letter(ODD), letter("[red]b[/red].jpg")])

    lines = [line for line in capsys.readouterr().out.splitlines() if "too hot" in line]
    assert [line.split()[4] for line in lines] == [
        "a.jpg",
        "\\x1b[2Jodd\\udcff\\n.jpg",
        "[red]b[/red].jpg",
    ]


async def test_letters_are_summed_up_by_reason():
    found = await survey(batches(letter(), letter(), letter()), 2, oldest=False)

    assert len(found.shown) == 2
    assert sum_up(found.totals, 2) == "3 dead letters: engine 3. 2 are shown."


async def test_export_holds_what_is_not_utf_8():
    lines, table = io.BytesIO(), io.BytesIO()

    assert await export(batches(letter(ODD)), lines, as_csv=False) == 1
    assert await export(batches(letter(ODD)), table, as_csv=True) == 1

    assert json.loads(lines.getvalue())["sample"]["id"] == ODD
    [row] = csv.DictReader(io.StringIO(table.getvalue().decode(), newline=""))
    assert row["id"] == "\x1b[2Jodd\\udcff\n.jpg"
    assert len(json.loads(row["earlier"])) == 2
