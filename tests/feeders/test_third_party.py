"""A kind of data set that another package brings: the one that the documentation shows."""

import re
import zipfile
from pathlib import Path

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, settings
from tests.e2e.pictures import rows
from tests.made import jpeg

__all__ = ["desk"]

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def install(site: Path) -> None:
    """Do what pip does with the code and the entry point of the page."""
    text = PAGE.read_text()
    blocks = {
        language: re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)[-1]
        for language in ("python", "toml")
    }
    [point] = re.findall(r'^zip = "(.+)"$', blocks["toml"], flags=re.MULTILINE)
    facts = site / "zip_source-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "zip_source.py").write_text(blocks["python"])
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: zip-source\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[caption_flow.sources]\nzip = {point}\n")


def test_a_package_adds_a_kind_of_its_own(desk: Desk):
    install(desk.folder / "site")
    archives = desk.folder / "archives"
    archives.mkdir()
    for shard in ("a", "b"):
        with zipfile.ZipFile(archives / f"{shard}.zip", "w") as archive:
            for number in range(3):
                archive.writestr(f"{number}.jpg", jpeg(number))
            archive.writestr("bad.jpg", b"no image")

    done = desk.start(
        *("run", "archives", "--engine", "simulated"),
        *settings(dataset__type="zip"),
        environ={"PYTHONPATH": str(desk.folder / "site")},
    ).wait()

    assert done.code == 0, done.words
    found = rows(desk.folder / "caption_data" / "archives")
    assert sorted(row["id"] for row in found) == [
        f"{shard}.zip/{number}.jpg" for shard in ("a", "b") for number in range(3)
    ]
    assert "2 dead letters" in done.out
