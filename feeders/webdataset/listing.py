"""A list of a tar's members that lies beside it: NAME.json of NAME.tar, as webshart writes it.

It spares reading a remote tar to its end. Whoever wrote it may have been wrong, or have meant
another version of the tar, so it is checked against the tar before it is believed.
"""

import logging
import re
import tarfile
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import CaptionFlowError
from feeders.files.find import Files
from feeders.files.port import File, FileGone, FileUnreachable
from feeders.spelling import to_text
from feeders.webdataset.places import Member

logger = logging.getLogger(__name__)

_LARGEST = 64 << 20  # bytes of a list; more is no faster than the tar
_TAR = ".tar"
_JSON = ".json"
_SUFFIX = re.compile(r"\.tar(?=$|[?#]|::)")  # of a file; a host may be called so as well
_BLOCK = tarfile.BLOCKSIZE

T = TypeVar("T")


class _Entry(msgspec.Struct):
    offset: int
    length: int | None = None
    size: int | None = None  # the same, as others spell it

    @property
    def bytes(self) -> int:
        if self.length is not None:
            return self.length
        return -1 if self.size is None else self.size


class _Document(msgspec.Struct):
    files: dict[str, _Entry]
    filesize: int | None = None  # of the tar


class Listings:
    """The lists that lie beside the tars of a data set."""

    def __init__(self, options: SourceOptions) -> None:
        path = _SUFFIX.sub(_JSON, options.path)
        self._options = replace(options, path=path)
        self._files: Files | None = None

    def find(self, file: File, size: int) -> list[Member] | None:
        """Give a tar's members in their order, as the list beside it says; None: there is none."""
        try:
            data = self._read(file.name.removesuffix(_TAR) + _JSON)
            return None if data is None else _members(file, size, data)
        except FileUnreachable:
            raise
        except FileGone:
            return None
        except (CaptionFlowError, msgspec.MsgspecError, RecursionError, ValueError) as exc:
            logger.warning("Not using the list of members beside %s: %s", file.where, exc)
            return None

    def _read(self, name: str) -> bytes | None:
        if self._files is None:
            self._files = Files(self._options, (_JSON,))
        found = self._files.get(name)
        size = found.facts().size
        if size > _LARGEST:
            raise ValueError(f"it has {size:,} bytes; the limit is {_LARGEST:,}")
        return b"".join(found.stream(0, size))


def _members(file: File, size: int, data: bytes) -> list[Member]:
    document = msgspec.json.decode(data, type=_Document)
    if document.filesize not in {None, size}:
        raise ValueError(f"it means a tar of {document.filesize:,} bytes; this one has {size:,}")
    found = [Member(to_text(n), one.offset, one.bytes) for n, one in document.files.items()]
    found.sort(key=lambda one: one.start)
    for one in found:
        if one.start < _BLOCK or one.length < 0 or one.end > size:
            raise ValueError(f"it says that {one.name[:100]} lies outside of the tar")
    for one in {found[0], found[-1]} if found else ():
        _check(file, one)
    return found


def _check(file: File, member: Member) -> None:
    """See that the header of this member stands where it must."""
    block = file.read(member.start - _BLOCK, _BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size
    except tarfile.HeaderError as exc:
        raise ValueError(f"no member begins where it says that {member.name[:100]} does") from exc
    if size != member.length:
        raise ValueError(f"{member.name[:100]} has {size:,} bytes, and not {member.length:,}")
