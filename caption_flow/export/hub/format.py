"""Export: `huggingface_hub`: Parquet files, and a card, as a data set on the hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.export.draft import Draft
from caption_flow.export.formats.parquet import ParquetFiles, drafted, finals
from caption_flow.export.hub import refusals
from caption_flow.export.hub.card import Facts, card
from caption_flow.export.hub.push import Pushed, See, check, push
from caption_flow.export.hub.veil import Veil
from caption_flow.export.ports import ANY, Layout, Published, Rows, Writer
from caption_flow.export.stats import Summary

DATA = Path("data")  # of the repository


class Upload(Struct, frozen=True):
    """Where to, and how."""

    repo: str
    private: bool
    named: frozenset[str]  # contributors that may be named, and no others
    facts: Callable[[Summary], Facts]  # for the card, but for what the files say
    see: See
    summary: Callable[[], Summary]  # of what was exported
    overwrite: bool = False  # files of others that are called like ours


class HubFormat:
    """Files are drafted as for `parquet`, sent from there, and then deleted here."""

    needs = ANY

    def __init__(self, folder: Path, upload: Upload, *, rows_per_file: int) -> None:
        """`folder`: which the draft lies beside."""
        self.output = f"hf://datasets/{upload.repo}"
        self._folder = folder
        self._upload = upload
        self._rows_per_file = rows_per_file

    @property
    def draft(self) -> Path:
        """Beside the folder, which is never made."""
        return self._folder.with_name(f".{self._folder.name}.export")

    def refuse(self) -> None:
        """Refuse what the hub would refuse when all is written."""
        upload = self._upload
        check(upload.repo, private=upload.private, overwrite=upload.overwrite)

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write the files."""
        veil = Veil(self._upload.named.__contains__)
        return _Veiled(veil, draft, layout.schema, self._rows_per_file)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:
        """Send what is new; says what has become of it."""
        if draft.progress is None or not draft.progress.samples:
            draft.remove()
            raise refusals.no_rows(self.output)
        names = finals(DATA, int(state["files"]))
        files = {name.as_posix(): drafted(draft, n) for n, name in enumerate(names)}
        pushed = push(
            self._upload.repo,
            files,
            self._card(list(files.values()), draft.progress.rows),
            private=self._upload.private,
            overwrite=self._upload.overwrite,
            see=self._upload.see,
        )
        return Published(_said(pushed))

    def _card(self, files: list[Path], rows: int) -> str:
        summary = self._upload.summary()
        hidden = frozenset(summary.contributors).difference(self._upload.named, {""})
        return card(
            summary,
            replace(
                self._upload.facts(summary),
                repo=self._upload.repo,
                schema=pq.read_schema(files[0]),
                rows=rows,
                anonymous=hidden,
                bytes=sum(file.stat().st_size for file in files),
            ),
        )


class _Veiled(ParquetFiles):
    """Writes rows that may be published."""

    def __init__(self, veil: Veil, draft: Draft, schema: pa.Schema, rows_per_file: int) -> None:
        super().__init__(draft, schema, rows_per_file)
        self._veil = veil

    def write(self, rows: Rows) -> None:
        """Take rows."""
        super().write(replace(rows, table=self._veil.over(rows.table)))


def _said(pushed: Pushed) -> str:
    if not pushed.uploaded and not pushed.deleted:
        return f"{pushed.url} has it already: nothing was uploaded."
    seen = "private" if pushed.private else "public"
    deleted = f", {pushed.deleted:,} deleted" if pushed.deleted else ""
    return (
        f"{pushed.url} ({seen}): {pushed.uploaded:,} files uploaded "
        f"({pushed.uploaded_bytes / 1e6:,.1f} MB), {pushed.unchanged:,} unchanged{deleted}."
    )
