"""How lines are printed: by flag, variable or document, in a process and those that it starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from caption_flow.supervisor.child import Child, Role
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, wait_until

__all__ = ["desk"]

NOWHERE = "redis://127.0.0.1:1/0"  # where nothing listens, so that it waits, saying so


def spoken(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("way", ["flag", "variable", "document"])
def test_lines_are_json_where_that_is_asked_for(desk: Desk, way: str):
    (desk.folder / "sink.yaml").write_text(
        f"log_format: {'json' if way == 'document' else 'plain'}"
    )
    words = ("--log-format", "json") if way == "flag" else ()
    environ = {"CAPTION_FLOW_LOG_FORMAT": "json"} if way == "variable" else {}

    sink = desk.start("sink", "--redis", NOWHERE, *words, environ=environ)
    wait_until(lambda: "Next try" in sink.err, "a line")
    lines = spoken(sink.terminate().err)

    assert [line["role"] for line in lines] == ["sink"] * len(lines)
    assert "Next try" in lines[0]["message"]


def test_flag_goes_before_a_document(desk: Desk):
    (desk.folder / "sink.yaml").write_text("log_format: json")

    sink = desk.start("sink", "--redis", NOWHERE, "--log-format", "plain")
    wait_until(lambda: "Next try" in sink.err, "a line")

    assert "Z WARNING " in sink.terminate().err


def test_last_words_of_a_role_are_found_in_its_lines(tmp_path: Path):
    child = Child(
        Role("sink", ("sink", "--redis", "no URL", "--log-format", "json")), tmp_path, {"PATH": "/"}
    )
    assert child.wait(60)

    assert child.code == 2
    assert [line["level"] for line in spoken(child.log.read_text())] == ["critical"]
    assert child.last_words().startswith("command line: redis is")


def test_what_a_role_has_died_of_is_found_in_its_lines(tmp_path: Path):
    child = Child(Role("worker", ("--version",)), tmp_path, {"PATH": "/"})
    assert child.wait(60)
    lines = [
        {"level": "info", "message": "Loading"},
        {"level": "error", "message": "failed", "exception": "ValueError: no such model"},
        {"level": "critical", "message": "The engine did not start. See above."},
    ]
    child.log.write_text("Captioned 0.\n" + "\n".join(map(json.dumps, lines)))
    child._begin = 0

    assert child.last_words() == (
        "The engine did not start. See above.\nIt began with ValueError: no such model"
    )
