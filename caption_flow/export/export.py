"""Export: one output, from the parts to its final name, and once more after a crash."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from caption_flow.dataset.part_file import Parts, stamp
from caption_flow.dataset.reader import Mark, Reader
from caption_flow.errors import CaptionFlowError, ConfigError, StorageUnfit
from caption_flow.export.draft import Blocked, Draft, PartRead
from caption_flow.export.drive import Meter, See, drive
from caption_flow.export.formats.kinds import FileFormat
from caption_flow.export.ports import LEFT_OUT, Format, Progress
from caption_flow.export.stats import Summary
from caption_flow.export.wish import Wish


class Done(Struct, frozen=True):
    """What came of an export."""

    output: str
    samples: int
    rows: int  # the same, but where each caption has one
    newer: int = 0  # parts that came since an export began that was gone on with
    note: str = ""  # what else is to be said
    left_out: int = 0  # of the samples, since something of them was not to be had


class Exporter:
    """Makes outputs of some parts, as one wishes."""

    def __init__(self, parts: Parts, wish: Wish, see: See) -> None:
        self._parts = parts
        self.wish = wish
        self._see = see
        self._names: tuple[str, ...] | None = None  # of the parts that were exported last
        self._readers: dict[tuple[str, ...], Reader] = {}

    def export(self, format_: Format, *more: str, keep: bool = False) -> Done:
        """Make an output; `more`: what else makes another output of the same wish.

        `keep`: note that it is finished, until `forget`, for who goes on with several outputs.

        Raises ConfigError where something must not be overwritten, and CaptionFlowError where
        parts cannot be read or the output cannot be written.
        """
        with self._draft(format_, *more) as draft:
            names = self._names = self._begun(format_, draft) or self._anew(format_, draft)
            if draft.progress is None or not draft.progress.finished:
                self._write(self.reader(names), format_, draft)
            done = draft.progress or Progress()
            published = format_.publish(draft, done.state)
            if not keep:
                draft.remove()
        newer = len(set(self._parts.names).difference(names))
        left_out = int(done.state.get(LEFT_OUT, 0)) + published.kept
        return Done(str(format_.output), done.samples, done.rows, newer, published.note, left_out)

    def forget(self, format_: Format, *more: str) -> None:
        """Delete the note that an output is finished."""
        with self._draft(format_, *more) as draft:
            draft.remove()

    def stream(self, format_: FileFormat, file: BinaryIO) -> Done:
        """Write one file of rows to where it cannot be gone on with, as a pipe."""
        flow = self.wish.flow(self.reader())
        lines = format_.lines(flow.layout)
        _send(file, lines.head())
        samples = rows = 0
        meter = Meter(self._see, "exporting", self.reader().rows)
        with _in_words():
            for step in flow.steps(Mark(), 0):
                _send(file, lines.lines(step.rows))
                samples, rows = step.samples, rows + len(step.rows)
                meter(step.read)
        return Done("-", samples, rows)

    def summary(self) -> Summary:
        """Count what is exported; of the parts that were exported last, or of all."""
        return self.wish.flow(self.exported).summary()

    @property
    def exported(self) -> Reader:
        """Read the parts that were exported last, or all."""
        return self.reader(self._names)

    def reader(self, names: tuple[str, ...] | None = None) -> Reader:
        """Read some parts, or all; looked through once, for outputs of one run."""
        names = self._parts.names if names is None else names
        if names not in self._readers:
            see = partial(self._see, "looking through")
            self._readers = {names: Reader(_Some(self._parts, names), see=see)}
        return self._readers[names]

    def _draft(self, format_: Format, *more: str) -> Draft:
        return Draft(format_.draft, self.wish.key(type(format_).__name__, *more))

    def _begun(self, format_: Format, draft: Draft) -> tuple[str, ...]:
        """Name the parts of an export that is to be gone on with; none: there is no such."""
        if draft.progress is None:
            return ()
        parts = draft.parts()
        if draft.progress.finished:  # of whatever parts; only names are to be given
            return tuple(part.name for part in parts) if parts else self._parts.names
        if parts is None or not self._are(parts):  # merged since, or taken back
            draft.begin_anew()
            return ()
        format_.refuse()  # what came to be there since
        return tuple(part.name for part in parts)

    def _are(self, parts: Sequence[PartRead]) -> bool:
        there = set(self._parts.names)
        try:
            return all(
                part.name in there and stamp(self._parts.path(part.name)) == part.stamp
                for part in parts
            )
        except FileNotFoundError:
            return False

    def _anew(self, format_: Format, draft: Draft) -> tuple[str, ...]:
        try:
            format_.refuse()
            reader = self.reader()
        except CaptionFlowError:
            draft.discard()
            raise
        draft.note_parts([PartRead(*one) for one in zip(reader.names, reader.stamps, strict=True)])
        return reader.names

    def _write(self, reader: Reader, format_: Format, draft: Draft) -> None:
        try:
            flow = self.wish.flow(reader, format_.needs)
            meter = Meter(self._see, "exporting", reader.rows)
            with _in_words():
                drive(flow, format_.writer(draft, flow.layout), draft, meter)
        except CaptionFlowError as exc:
            # Of a wish that does not fit the rows nothing can be gone on with.
            if draft.progress is None or isinstance(exc, ConfigError):
                draft.discard()
            raise


@contextmanager
def _in_words() -> Iterator[None]:
    """Stand around what makes texts of rows: those of others' parts may be no UTF-8."""
    try:
        yield
    except UnicodeDecodeError as exc:
        raise StorageUnfit(
            f"A part has a text that is not UTF-8 ({exc.reason}). Put sound copies in the "
            "place of those that did not come from a sink."
        ) from exc


def _send(file: BinaryIO, some: bytes) -> None:
    try:
        file.write(some)
        file.flush()
    except BrokenPipeError:  # who reads wants no more
        raise
    except OSError as exc:
        raise Blocked(f"Standard output cannot be written ({exc.strerror}).") from exc


class _Some(Struct, frozen=True):
    """Some of the parts."""

    parts: Parts
    names: tuple[str, ...]

    def path(self, name: str) -> Path:
        return self.parts.path(name)
