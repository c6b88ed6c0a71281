"""Galleries over the finished parts of a job of a few, for tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from caption_flow.dataset.gallery import Ask, Gallery, Page, follower
from caption_flow.dataset.parts import PartFolder
from tests.e2e.desk import wait_until
from tests.view.parts import numbered, write_parts

PER_PART = 40
ROWS = 100  # in parts of 40, 40 and 20


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(follower, "_AGAIN_SECONDS", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job of a few parts."""
    path = tmp_path / "captions" / "photos"
    for _ in write_parts(path, ROWS, PER_PART):
        pass
    return path


Opening = Callable[..., Gallery]


@pytest.fixture
def opening(folder: Path, tmp_path: Path) -> Iterator[Opening]:
    """Open galleries over it that are closed in the end."""
    with ExitStack() as opened:

        def open_(cache: str = "cache") -> Gallery:
            parts = PartFolder(folder.parent, folder.name)
            return opened.enter_context(Gallery(parts, tmp_path / cache))

        yield open_


@pytest.fixture
def gallery(opening: Opening) -> Gallery:
    return searched(opening())


def searched(gallery: Gallery, rows: int = ROWS) -> Gallery:
    """Wait until so many rows are there, and all can be searched."""

    def ready() -> bool:
        state = gallery.state()
        return state.rows == state.indexed == rows and state.counted and not state.indexing

    wait_until(ready, f"{rows} rows to be indexed")
    return gallery


def numbers(page: Page) -> list[int]:
    return [int(row.id[-12:-4]) for row in page.rows]


def found(gallery: Gallery, text: str = "", **facets: str) -> list[int]:
    page = gallery.page(Ask(text, tuple(facets.items())), 0, 1000)
    assert page.total == len(page.rows)
    return numbers(page)


def rows_where(holds: Callable[[dict[str, Any]], bool]) -> list[int]:
    parts = [numbered(start, min(PER_PART, ROWS - start)) for start in range(0, ROWS, PER_PART)]
    return [n for n, row in enumerate(row for part in parts for row in part) if holds(row)]
