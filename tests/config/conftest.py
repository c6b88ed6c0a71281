"""A desk of its own for each test: no document, no variable of the one who runs it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from caption_flow.config import places

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with home and system folders beside it."""
    for name in [name for name in os.environ if name.startswith(("CAPTION_FLOW_", "XDG_"))]:
        monkeypatch.delenv(name)
    for name in ("here", "home", "etc", "xdg"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "etc")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def write() -> Write:
    """Write a document called pipeline.yaml and return its path."""

    def _write(text: str) -> Path:
        path = Path("pipeline.yaml")
        path.write_text(text)
        return path

    return _write
