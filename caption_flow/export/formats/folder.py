"""Export: what formats have in common that write into a folder."""

import os
from pathlib import Path

from caption_flow.errors import ConfigError


class FolderFormat:
    """What lies in a folder, in which other files may be; drafted in the folder."""

    def __init__(self, output: Path, kind: str, *, overwrite: bool) -> None:
        """`kind`: names the draft, for outputs of several formats in one folder."""
        self.output = output
        self._kind = kind
        self._overwrite = overwrite

    @property
    def draft(self) -> Path:
        """In the folder, which may be a disk of its own; ConfigError where that is a file."""
        if os.path.lexists(self.output) and not self.output.is_dir():
            raise ConfigError(f"{self.output} is no folder, as is needed: name another --output.")
        return self.output / f".export-{self._kind}"

    def refuse(self) -> None:
        """Refuse nothing: other files may be in the folder."""
