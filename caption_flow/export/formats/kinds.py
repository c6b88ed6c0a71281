"""Export: the formats that are a file of rows, or a file for each sample."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caption_flow.errors import ConfigError
from caption_flow.export.draft import Draft, publish, refuse_existing, writing
from caption_flow.export.formats.csv import Cells
from caption_flow.export.formats.folder import FolderFormat
from caption_flow.export.formats.jsonl import JsonLines
from caption_flow.export.formats.one_file import Lines, OneFile
from caption_flow.export.formats.parquet import ParquetFiles, drafted, finals
from caption_flow.export.formats.planting import Planting
from caption_flow.export.formats.sample_files import SampleFiles, captions, metadata, tree
from caption_flow.export.ports import ANY, Layout, Needs, Published, Writer

_DRAFTED = "file"
_FILE_OF_SET = re.compile(r"train-\d{5}-of-\d{5}\.parquet")


class FileFormat:
    """`jsonl` and `csv`: one file."""

    needs = ANY

    def __init__(
        self,
        output: Path,
        *,
        overwrite: bool,
        csv: bool = False,
        exact: bool = False,
    ) -> None:
        """`exact`: see `Cells`."""
        self.output = output
        self._overwrite = overwrite
        self._csv = csv
        self._exact = exact

    @property
    def draft(self) -> Path:
        """Beside the file; ConfigError where a folder is in its place."""
        if self.output.is_dir():
            raise ConfigError(f"{self.output} is a folder: name a file in it as --output.")
        if self.output.exists() and not self.output.is_file():
            raise ConfigError(f'{self.output} is no file; standard output is "-".')
        return self.output.with_name(f".{self.output.name}.export")

    def refuse(self) -> None:
        """Refuse where the file is there."""
        refuse_existing([self.output], overwrite=self._overwrite)

    def lines(self, layout: Layout) -> Lines:
        """Make what makes lines of rows."""
        return Cells(layout.schema, exact=self._exact) if self._csv else JsonLines(layout.json)

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write the file."""
        return OneFile(draft.file(_DRAFTED), self.lines(layout), draft.progress)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:  # noqa: ARG002
        """Name it, unless somebody else has made such a file since."""
        if draft.file(_DRAFTED).exists():
            self.refuse()
        publish(draft.file(_DRAFTED), self.output)
        return Published()


class SampleFormat(FolderFormat):
    """`json` and `txt`: a file for each sample."""

    def __init__(self, output: Path, *, overwrite: bool, text: bool) -> None:
        """`text`: only the captions are written, as text."""
        super().__init__(output, "txt" if text else "json", overwrite=overwrite)
        self.needs = Needs(samples=True, names="files", captions_only=text)
        self._text = text

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write the files to a tree of their own."""
        if self._text:
            return SampleFiles(draft, ".txt", captions)
        return SampleFiles(draft, ".json", metadata(layout.json))

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:  # noqa: ARG002
        """Put the tree into the folder; says what stayed as it was."""
        planting = Planting(overwrite=self._overwrite)
        planting.plant(tree(draft), self.output)
        if not planting.kept:
            return Published()
        return Published(
            f"{planting.kept:,} files that were there and say something else, such as "
            f"{planting.example}, stay as they are; --overwrite replaces them.",
            planting.kept,
        )


class ParquetFormat(FolderFormat):
    """`parquet`: files of one size in a folder."""

    needs = ANY

    def __init__(self, output: Path, *, overwrite: bool, rows_per_file: int) -> None:
        super().__init__(output, "parquet", overwrite=overwrite)
        self._rows_per_file = rows_per_file

    def refuse(self) -> None:
        """Refuse where files of an earlier export are."""
        refuse_existing(self._there(), overwrite=self._overwrite)

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write files without their final names, which say how many there are."""
        return ParquetFiles(draft, layout.schema, self._rows_per_file)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:
        """Name them, when those of an earlier export are deleted: never are both there."""
        names = finals(self.output, int(state["files"]))
        with writing(self.output):
            for old in set(self._there()).difference(names):
                old.unlink()
        for number, final in enumerate(names):
            publish(drafted(draft, number), final)
        return Published()

    def _there(self) -> list[Path]:
        if not self.output.is_dir():
            return []
        return sorted(one for one in self.output.iterdir() if _FILE_OF_SET.fullmatch(one.name))
