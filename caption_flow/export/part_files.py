"""Export: parts as a file system of Arrow's, for what opens them long after they were listed.

A part that is merged meanwhile has another name from then on; so it is looked for when it is
opened, by the name that it had.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

import pyarrow as pa
from pyarrow import fs

from caption_flow.dataset.snapshot import Snapshot
from caption_flow.errors import StorageUnfit


class PartFiles(fs.FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """The files of some parts, which can only be read."""

    def __init__(self, parts: Snapshot, held: object = None) -> None:
        """`held` keeps parts that are merged from being deleted, for as long as this lives."""
        self._parts = parts
        self._held = held

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied to another process, which has to rely on this one to hold the parts."""
        return PartFiles, (self._parts,)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open a part, under whichever name it stands."""
        name = Path(path).stem
        for _ in range(2):  # it may be renamed just now
            try:
                return pa.OSFile(str(self._parts.path(name)))
            except FileNotFoundError:
                continue
        raise StorageUnfit(f"{path} is gone since it was listed. Open the data set again.")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """Likewise."""
        return self.open_input_file(path)

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        """Say of each path that there is a file, which is all that is asked of parts."""
        return [fs.FileInfo(path, fs.FileType.File) for path in paths]

    def normalize_path(self, path: str) -> str:
        """Leave a path as it is."""
        return path

    def get_type_name(self) -> str:
        """Name this kind of file system."""
        return "caption-flow-parts"

    def _refuse(self, *_: object) -> Never:
        raise NotImplementedError("parts are only read here")

    get_file_info_selector = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = _refuse
    open_output_stream = open_append_stream = _refuse
