"""What save_to_disk() of the library `datasets` leaves: Arrow files, and which they are in JSON."""

from collections.abc import Iterable
from typing import Any

import msgspec

from caption_flow.errors import SourceError
from feeders.files.port import File
from feeders.huggingface.card import DEFAULT_SPLIT
from feeders.huggingface.whole import whole

STATE = "state.json"
SUITE = "dataset_dict.json"
LARGEST = 16 << 20  # bytes of a state


class _DataFile(msgspec.Struct):
    filename: str


class _State(msgspec.Struct, rename=lambda name: f"_{name}"):
    data_files: list[_DataFile]
    split: str | None = None
    indices_data_files: Any = None


def is_state(name: str) -> bool:
    """Whether a file says that something was saved here: in a split's folder, or the only one."""
    folder, _, base = name.rpartition("/")
    return base == STATE and "/" not in folder


def saved_files(states: Iterable[File]) -> dict[str, str]:
    """Give the split of each Arrow file that the states name."""
    found: dict[str, str] = {}
    for file in states:
        folder, _, _ = file.name.rpartition("/")
        state = _read(file)
        for one in state.data_files:
            name = f"{folder}/{one.filename}" if folder else one.filename
            found[name] = folder or state.split or DEFAULT_SPLIT
    return found


def _read(file: File) -> _State:
    try:
        state = msgspec.json.decode(whole(file, LARGEST), type=_State)
    except msgspec.DecodeError as exc:
        raise SourceError(
            f"{file.where} is not what save_to_disk() writes: {exc}. Save the data set again."
        ) from exc
    if state.indices_data_files:
        raise SourceError(
            f"{file.where} tells of an older format, where rows are picked by an index. Load it "
            "with the library datasets and save it again."
        )
    return state
