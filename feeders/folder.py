"""Source: a folder of image files on this host or a mounted one.

A shard is a folder, written relative to the root ("." is the root itself); a sample is a file in
it, by its name; its id is its path relative to the root. Folders are listed in order in bounded
memory, however many files they hold; hidden files and folders are passed over.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from caption_flow.dataset.earlier import is_part
from caption_flow.dataset.source import ROOT_SHARD, SourceOptions, sample_id
from caption_flow.errors import ConfigError, SourceError
from caption_flow.model import Columns, Listed, Raw
from feeders import sidecars
from feeders.beneath import Parts, Tree, UnreadableError, unreadable
from feeders.ordered import ordered
from feeders.spelling import from_text, to_text

logger = logging.getLogger(__name__)

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")
_OTHERS = (".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif")
EXTENSIONS = frozenset(_JPEG + _OTHERS)


class FolderSource:
    """The images in a folder and, unless told otherwise, in all folders beneath it."""

    def __init__(self, options: SourceOptions) -> None:
        _check(options)
        root = Path(options.path).expanduser()
        self.dataset = options.name or to_text(root.resolve().name) or "dataset"
        self._options = options
        self._place = to_text(os.fspath(root))
        self._tree = Tree(root, follow=options.follow_symlinks)

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Walk the folders, parents first; in memory is one path of them."""
        first = _components(start or ROOT_SHARD)
        if not first:
            yield ROOT_SHARD
        path = [self._folders(ROOT_SHARD)] if self._options.recursive else []
        seen: set[Parts] = set()
        while path:
            shard = next(path[-1], None)
            if shard is None:
                path.pop()
            elif not self._passed_over(shard, seen):
                here = _components(shard)
                if here >= first:
                    yield shard
                if self._leads_on(here, first):
                    path.append(self._folders(shard))

    def fingerprint(self, shard: str) -> str:  # noqa: ARG002
        """A folder has none: files come and go, and each is found by its name."""
        return ""

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List the image files of one folder."""
        first = after.name if after else ""
        yield from map(Listed, ordered(name for name in self._files(shard) if name > first))

    def samples(
        self,
        shard: str,
        wanted: Sequence[Listed],
        fingerprint: str = "",  # noqa: ARG002
    ) -> Iterator[Raw]:
        """Read files of one folder."""
        names = [listed.name for listed in wanted]
        try:
            parts = _parts(shard)
            folder = self._tree.open_folder(parts)
        except UnreadableError as exc:
            yield from (self._failed(shard, name, f"Its folder: {exc}") for name in names)
            return
        try:
            for name in names:
                yield self._sample(folder, parts, shard, name)
        finally:
            os.close(folder)

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the lengths of files of one folder, as far as they can be asked for."""
        try:
            folder = self._tree.open_folder(_parts(shard))
        except UnreadableError:
            return None
        try:
            return sum(_length(folder, listed.name) for listed in wanted)
        finally:
            os.close(folder)

    def _sample(self, folder: int, parts: Parts, shard: str, name: str) -> Raw:
        try:
            file = _file_name(name)
            image = self._tree.read(folder, parts, file, self._options.max_file_size)
        except UnreadableError as exc:
            return self._failed(shard, name, str(exc))
        columns = self._columns(folder, parts, file) if self._options.sidecars else {}
        identity = sample_id(shard, name)
        return Raw(identity, f"{self._place}/{identity}", image, columns)

    def _failed(self, shard: str, name: str, why: str) -> Raw:
        identity = sample_id(shard, name)
        return Raw(identity, f"{self._place}/{identity}", b"", error=why)

    def _columns(self, folder: int, parts: Parts, file: str) -> Columns:
        columns: Columns = {}
        stem = file.rpartition(".")[0]
        for kind in self._options.sidecars:
            try:
                data = self._tree.read(folder, parts, f"{stem}.{kind}", sidecars.MAX_BYTES)
                columns |= sidecars.READERS[kind](data)
            except UnreadableError as exc:
                if not exc.vanished:
                    _note(columns, stem, kind, exc)
            except sidecars.SidecarError as exc:
                _note(columns, stem, kind, exc)
        return columns

    def _folders(self, shard: str) -> Iterator[str]:
        parts = _listed_parts(shard)
        found = (
            to_text(entry.name)
            for entry in self._entries(shard)
            if not entry.name.startswith(".") and self._is_folder(entry, parts)
        )
        return (sample_id(shard, name) for name in ordered(found))

    def _files(self, shard: str) -> Iterator[str]:
        parts = _listed_parts(shard)
        images = captions = False
        for entry in self._entries(shard):
            if _is_image_name(entry.name) and self._is_file(entry, parts):
                images = True
                yield to_text(entry.name)
            captions = captions or is_part(entry.name)
        if captions and not images and shard == ROOT_SHARD:
            logger.warning(
                "%s holds no images, but captions of a job, and other files. To caption again what "
                "that job captioned, set dataset.type to captions",
                self._place,
            )

    def _entries(self, shard: str) -> Iterator["os.DirEntry[str]"]:
        """Stream a folder as the operating system gives it, without order."""
        try:
            folder = self._tree.open_folder(_parts(shard))
        except UnreadableError as exc:
            if not exc.vanished:
                raise _unlistable(shard, exc) from exc
            logger.warning("The folder %s vanished while it was planned", shard)
            return
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except OSError as exc:
            raise _unlistable(shard, unreadable(exc)) from exc
        finally:
            os.close(folder)

    def _is_folder(self, entry: "os.DirEntry[str]", parts: Parts) -> bool:
        if not entry.is_symlink():
            return _is_dir(entry)
        target = self._target(entry, parts)
        return target is not None and _is_hidden(target) and _is_dir(entry)

    def _is_file(self, entry: "os.DirEntry[str]", parts: Parts) -> bool:
        """Pipes and the like count as files here: reading them says what is wrong."""
        if not entry.is_symlink():
            return not _is_dir(entry)
        target = self._target(entry, parts)
        if target is None or _is_dir(entry):
            return False
        walked = _is_image_name(target[-1]) and not _is_hidden(target)
        return not walked or (len(target) > 1 and not self._options.recursive)

    def _target(self, entry: "os.DirEntry[str]", parts: Parts) -> Parts | None:
        """Find where a link leads to, if it is to be followed at all."""
        if not self._options.follow_symlinks:
            return None
        try:
            return self._tree.resolve((*parts, entry.name)) or None
        except UnreadableError as exc:
            logger.warning("Passing over %s: %s", to_text("/".join((*parts, entry.name))), exc)
            return None

    def _leads_on(self, here: Parts, first: Parts) -> bool:
        """Tell whether any folder beneath this one may come at the start or after it."""
        # With links all is walked: what they led to before the start must be known after it.
        return self._options.follow_symlinks or here >= first[: len(here)]

    def _passed_over(self, shard: str, seen: set[Parts]) -> bool:
        """Tell folders that several links lead to; without links there are none."""
        if not self._options.follow_symlinks:
            return False
        try:
            target = self._tree.resolve(_parts(shard))
        except UnreadableError as exc:
            logger.warning("Passing over %s: %s", shard, exc)
            return True
        if not _is_hidden(target):
            return False  # met by walking, once
        known = target in seen
        seen.add(target)
        return known


def _check(options: SourceOptions) -> None:
    for kind in options.sidecars:
        if kind not in sidecars.READERS:
            known = ", ".join(sidecars.READERS)
            raise ConfigError(f'The folder source knows no sidecars "{kind}"; it reads {known}.')
    if options.images == "reference":
        raise ConfigError(
            "images of a folder cannot travel by reference: only this host reads them. "
            'Leave "dataset.images" out, or set it to inline.'
        )
    for name in options.extra:
        raise ConfigError(f'The folder source has no option "{name}".')


def _components(shard: str) -> Parts:
    """Split a shard as it is spelled: these sort as the walk goes."""
    return () if shard == ROOT_SHARD else tuple(shard.split("/"))


def _parts(shard: str) -> Parts:
    """Turn an untrusted shard into names on disk."""
    parts = tuple(_plain(part) for part in _components(shard))
    if _is_hidden(parts):
        raise UnreadableError("it is hidden, or leads out of the data set")
    return parts


def _listed_parts(shard: str) -> Parts:
    try:
        return _parts(shard)
    except UnreadableError as exc:
        raise _unlistable(shard, exc) from exc


def _file_name(name: str) -> str:
    file = _plain(name)
    if "/" in file or not _is_image_name(file):
        raise UnreadableError("no image of this data set has such a name")
    return file


def _length(folder: int, name: str) -> int:
    try:
        return os.stat(_file_name(name), dir_fd=folder).st_size
    except (OSError, UnreadableError):
        return 0  # it will be a dead letter


def _plain(part: str) -> str:
    """Turn one component of an untrusted path back into the name on disk."""
    if not part or "\0" in part:
        raise UnreadableError("no file or folder has such a name")
    try:
        return from_text(part)
    except ValueError as exc:
        raise UnreadableError("no file or folder has such a name") from exc


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, or no right to ask: reading will tell


def _is_hidden(parts: Parts) -> bool:
    # "." and ".." begin with a dot as well, so no path gets out this way.
    return any(part.startswith(".") for part in parts)


def _is_image_name(name: str) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in EXTENSIONS and not name.startswith(".")


def _note(columns: Columns, stem: str, kind: str, exc: Exception) -> None:
    problem = to_text(f"{stem}.{kind}: {exc}")
    before = columns.get(sidecars.ERROR_COLUMN)
    columns[sidecars.ERROR_COLUMN] = f"{before}; {problem}" if before else problem


def _unlistable(shard: str, exc: UnreadableError) -> SourceError:
    return SourceError(
        f"The folder {shard} of the data set cannot be listed: {exc}. Let this user read it, or "
        "take it out of the data set; else its images would be missed without a word."
    )
