"""Samples of one tar, read at their places.

Places come from a queue that strangers may write to: nothing outside the tar is read, and no more
of it than an image and its columns may have. What stands there is believed to be a sample's only
if the header before it says so: the tar may be another than the one that was planned.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from caption_flow.dataset.source import SourceOptions, sample_id
from caption_flow.model import Columns, Listed, Raw
from feeders import sidecars
from feeders.files.port import File, FileUnreadable
from feeders.webdataset import columns, places, tar
from feeders.webdataset.grouping import Choice
from feeders.webdataset.places import Member
from feeders.webdataset.spans import Spans

_NUMBER = re.compile(r"~[0-9]+$")  # of a sample whose name has come before


class _OtherMemberError(Exception):
    """Another file stands at a place than the one that was planned."""


class _Wanted(Struct, frozen=True):
    """A sample to be read, or the reason why it is not."""

    name: str
    image: Member | None = None
    read: tuple[Member, ...] = ()  # of it, in the order of the tar
    problems: tuple[str, ...] = ()  # of its columns
    error: str = ""
    reason: str = "unreadable"


class Reading:
    """Gives one Raw for each sample asked for; in memory is one at a time."""

    def __init__(
        self,
        options: SourceOptions,
        choice: Choice,
        file: File,
        size: int,
        wanted: Sequence[Listed],
    ) -> None:
        self._options = options
        self._choice = choice
        self._file = file
        self._size = size
        self._reached = file.reference() is not None
        self._wanted = [self._look(one) for one in wanted]
        members = (member for one in self._wanted for member in one.read)
        self._spans = Spans(file, [_with_header(member) for member in members])
        self._passed = 0  # members read so far, or given up

    def __iter__(self) -> Iterator[Raw]:
        return map(self._sample, self._wanted)

    def _sample(self, one: _Wanted) -> Raw:
        """Read one sample; a disk that fails within it harms no other."""
        id_ = sample_id(self._file.name, one.name)
        source = f"{self._file.where}#{one.name}"
        if one.image is None:
            return Raw(id_, source, error=one.error, reason=one.reason)
        source = f"{source}.{one.image.name}"
        self._passed += len(one.read)
        try:
            contents = [(member, self._content(one.name, member)) for member in one.read]
        except FileUnreadable as exc:
            self._spans.go_on(self._passed)
            return Raw(id_, source, error=str(exc))
        except _OtherMemberError as exc:
            self._spans.go_on(self._passed)
            return Raw(id_, source, error=str(exc), reason="changed")
        return self._raw(Raw(id_, source), one, one.image, contents)

    def _content(self, name: str, member: Member) -> bytes:
        data = self._spans.take(_with_header(member))
        if not tar.is_header(data[: tar.BLOCK], _file_names(name, member), member.length):
            raise _OtherMemberError(
                f"{name}.{member.name} does not stand where the plan says: the shard is another"
            )
        return data[tar.BLOCK :]

    def _raw(
        self, bare: Raw, one: _Wanted, its: Member, contents: list[tuple[Member, bytes]]
    ) -> Raw:
        found: Columns = {}
        for problem in one.problems:
            columns.note(found, problem)
        image, reference = b"", None
        for member, content in contents:
            if member is its:
                image = content
            else:
                columns.add(found, f"{one.name}.{member.name}", member.name, content)
        if its not in one.read:
            reference = self._file.reference(its.start, its.length)
        return Raw(bare.id, bare.source, image, self._chosen(found), reference=reference)

    def _chosen(self, found: Columns) -> Columns:
        """Leave out what is not to be carried; what went wrong is."""
        kept = {name: value for name, value in found.items() if self._choice.wants(name)}
        if sidecars.ERROR_COLUMN in found:
            kept[sidecars.ERROR_COLUMN] = found[sidecars.ERROR_COLUMN]
        return kept

    def _look(self, one: Listed) -> _Wanted:
        """Find out what is to be read of a sample, if anything may be."""
        if not one.place:
            return _Wanted(one.name, error="the shard has no sample of this name")
        try:
            image, *others = places.parse(one.place)
        except ValueError as exc:
            return _Wanted(one.name, error=str(exc))
        if not self._choice.is_image(image.name):
            return _Wanted(one.name, error=f'"{image.name}" is no image of this data set')
        if why := self._beyond(image, self._options.max_file_size):
            reason = "truncated" if image.end > self._size else "too_many_bytes"
            return _Wanted(one.name, error=why, reason=reason)
        return self._with_texts(one.name, image, others)

    def _with_texts(self, name: str, image: Member, others: list[Member]) -> _Wanted:
        asked = [one for one in others if one.name in self._choice.texts]
        why = {one: self._beyond(one, sidecars.MAX_BYTES) for one in asked}
        texts = [one for one in asked if not why[one]]
        problems = tuple(f"{name}.{one.name}: {why[one]}" for one in asked if why[one])
        members = texts if self._referred(texts) else [image, *texts]
        return _Wanted(name, image, tuple(sorted(members, key=_start)), problems)

    def _referred(self, texts: list[Member]) -> bool:
        """Whether the workers read the image themselves: who reads the columns has it as well."""
        if self._options.images == "auto":
            return self._reached and not texts
        return self._options.images == "reference"

    def _beyond(self, member: Member, most: int) -> str:
        if member.start < tar.BLOCK:
            return "its place in the shard is no place"
        if member.end > self._size:
            return "it is cut off: the shard ends within it"
        if member.length > most:
            return f"it has {member.length:,} bytes; the limit is {most:,}"
        return ""


def image_bytes(listed: Listed) -> int:
    """Say how many bytes the image has, by its place."""
    try:
        return places.parse(listed.place)[0].length
    except ValueError:
        return 0  # it will be a dead letter


def _with_header(member: Member) -> Member:
    return Member(member.name, member.start - tar.BLOCK, member.length + tar.BLOCK)


def _file_names(name: str, member: Member) -> list[str]:
    """Say what a member may be called in the tar: a sample's name may have got a number."""
    return [f"{key}.{member.name}" for key in (name, _NUMBER.sub("", name))]


def _start(member: Member) -> int:
    return member.start
