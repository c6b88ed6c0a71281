"""A running `caption-flow view`, asked over HTTP."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.e2e.desk import Desk, Running, settings, wait_until
from tests.e2e.pictures import draw

PICTURES = 12
SIMULATED = settings(engine="simulated", simulated__tokens="[5, 8]")


class Viewing:
    """The command at a desk."""

    def __init__(self, desk: Desk, *words: object) -> None:
        self.running: Running = desk.start("view", *words, "--no-browser")
        wait_until(lambda: "http://" in self.running.out or self.running.ended, "an address")
        assert not self.running.ended, self.running.err
        self.address = re.findall(r"http://\S+", self.running.out)[0]

    def ask(self, path: str, token: str = "", **asked: object) -> bytes:
        here = re.sub(r"//[^:/]+:", "//127.0.0.1:", self.address.partition("#")[0])
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urlopen(Request(f"{here}api/{path}?{urlencode(asked)}", headers=headers)) as answer:
            return bytes(answer.read())

    def told(self, path: str, **asked: object) -> Any:
        return json.loads(self.ask(path, **asked))

    def is_indexed(self) -> bool:
        """Whether all rows that are there are found."""
        state = self.told("state")["state"]
        return state["rows"] > 0 and state["rows"] == state["indexed"] and not state["indexing"]


def captioned(desk: Desk, *words: str) -> Path:
    """Let a small data set be captioned at a desk, with one image that is none."""
    photos = desk.folder / "photos"
    draw(photos, PICTURES)
    (photos / "page.png").write_text("<html><body>Sorry.</body></html>")
    ended = desk.run("run", "photos", *SIMULATED, *words)
    assert "1 dead letter" in ended.err + ended.out, ended.words
    return photos
