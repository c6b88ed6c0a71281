"""How rows are drawn on a terminal."""

from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from caption_flow.cli.view_drawn import in_full, seen

WIDTH = 40


def shown(**told: Any) -> dict[str, Any]:
    bare = {"id": "a", "shard": "", "source": "", "captions": {}, "flags": [], "width": 0, "at": 0}
    return bare | told


@pytest.mark.parametrize(
    "text",
    [
        "公園を走る茶色の犬" * 20,
        "a brown dog that runs in a park " * 20,
        "x" * 300,
        "a dog 🐕 in a park " * 20,
    ],
)
def test_row_in_full_is_drawn_line_by_line(text: str):
    row = shown(id=text, captions={text[:30]: [text]}, columns={text[:30]: text})
    lines = in_full(row, WIDTH)
    console = Console(width=WIDTH, height=1000, force_terminal=False)
    with console.capture() as drawn:
        console.print(seen(lines, 0, len(lines)))

    assert max(cell_len(line.text) for line in lines) <= WIDTH
    assert len(drawn.get().splitlines()) == len(lines)
    told = "".join("".join(line.text.split()) for line in lines)
    assert told.count("".join(text.split())) >= 2
