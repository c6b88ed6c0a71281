"""Prompts that are kept in files of their own: "@PATH" becomes the text that stands there.

Read with the settings, so that workers, wherever they are, get texts. "@@" begins a text that
has an @ itself.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from caption_flow.config.legacy import holders
from caption_flow.config.modern import Tree
from caption_flow.config.words import Mistake, Steps, near, shown
from caption_flow.errors import ConfigError

MARK = "@"
LONGEST = 64 * 1024  # bytes
_LOOKED_AT = 1000  # files beside one that is not there

PLACES = (
    "vllm.inference_prompts",
    "vllm.system_prompt",
    "vllm.quality[].retry_prompt",
    "vllm.stages[].prompts",
    "vllm.stages[].system_prompt",
    "vllm.stages[].quality[].retry_prompt",
)


class Unfolded(Struct, frozen=True):
    """What became of the prompts of one layer."""

    files: dict[Steps, Path]  # place of a prompt -> the file it came from
    mistakes: list[Mistake]


def unfold(tree: Tree, folder: Path) -> Unfolded:
    """Put the texts of files in their names' places; paths are relative to the folder."""
    unfolded = Unfolded(files={}, mistakes=[])
    for path in PLACES:
        for holder, steps in holders(tree, path):
            for place, above, key in _texts(holder, steps):
                above[key] = _text(above[key], folder, place, unfolded)
    return unfolded


def _texts(holder: Any, steps: Steps) -> Iterator[tuple[Steps, Any, str | int]]:
    """Find the texts of one key, be it a text or a list of them."""
    key = steps[-1]
    if isinstance(holder[key], str):
        yield steps, holder, key
    elif isinstance(holder[key], list):
        for index, item in enumerate(holder[key]):
            if isinstance(item, str):
                yield (*steps, index), holder[key], index


def _text(said: str, folder: Path, place: Steps, unfolded: Unfolded) -> str:
    if not said.startswith(MARK):
        return said
    if said.startswith(MARK * 2):
        return said.removeprefix(MARK)
    try:
        file = _path(said.removeprefix(MARK), folder)
        text = _read(file)
    except ConfigError as exc:
        sentence = f'{exc}; begin a text that has an @ itself with "{MARK * 2}"'
        unfolded.mistakes.append(Mistake(place, sentence))
        return said
    unfolded.files[place] = file
    return text


def _path(name: str, folder: Path) -> Path:
    if "\0" in name:
        raise ConfigError("names a file whose path has a NUL in it")
    try:
        return folder / Path(name).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"names the file {name}, and there is no such home folder") from exc


def _read(file: Path) -> str:
    try:
        # A pipe would be waited for, and a device may have no end.
        if not file.is_file():
            raise ConfigError(f"names the file {file}, which is {_instead(file)}")
        with file.open("rb") as opened:
            contents = opened.read(LONGEST + 1)
    except OSError as exc:
        raise ConfigError(f"names the file {file}, which cannot be read: {exc.strerror}") from exc
    if len(contents) > LONGEST:
        raise ConfigError(f"names the file {file}, which is over {LONGEST >> 10} KiB")
    try:
        text = contents.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"names the file {file}, which is not text in UTF-8") from exc
    if not text.strip():
        raise ConfigError(f"names the file {file}, which is empty")
    return text


def _instead(file: Path) -> str:
    if file.exists():
        return "no file"
    meant = near(file.name, _beside(file))
    return f"not there (did you mean {shown(meant)}?)" if meant else "not there"


def _beside(file: Path) -> list[str]:
    """Name the files in the folder of one, as many as are worth a look."""
    try:
        with os.scandir(file.parent) as entries:
            return [entry.name for entry in islice(entries, _LOOKED_AT)]
    except OSError:
        return []
