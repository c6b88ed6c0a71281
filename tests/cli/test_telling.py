"""`--progress json`: what the last line says."""

import io
import json
from types import SimpleNamespace
from typing import Any, cast

from caption_flow.cli.telling import Looking, Teller
from caption_flow.herald import Herald
from caption_flow.model import Counts


async def _no_counts() -> Counts:
    return Counts()


async def test_last_line_has_what_was_done_since_the_last_look():
    figures: dict[str, float] = {"samples": 0}
    word: Any = SimpleNamespace(name="w", state="working", figures=figures)
    herald = cast("Herald", SimpleNamespace(word=lambda: word))
    out = io.StringIO()
    teller = Teller("worker", out)
    teller.begin()

    async with Looking(teller, herald, _no_counts):
        word.figures = {"samples": 64}
    teller.end(0, "done")

    last = json.loads(out.getvalue().splitlines()[-1])
    assert last["figures"] == {"samples": 64}
