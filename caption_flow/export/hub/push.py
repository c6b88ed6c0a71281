"""Export: files become a data set on the Hugging Face hub, or the newest commit of one.

All files are sent first, and then one commit makes them the data set: who reads it meanwhile has
the former one, whole. An upload that was cut off loses nothing: the hub has kept what arrived, and
the next one looks what is still to be done. Where nothing is, it leaves everything as it is.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from msgspec import Struct

from caption_flow.export.hub import refusals
from caption_flow.export.hub.merging import is_ours, merged
from caption_flow.export.hub.repo import CARD, Head, Held, Operation, Repo, quiet
from caption_flow.export.hub.sending import Progress, See, Sending
from caption_flow.retry import Backoff

__all__ = ["Progress", "Pushed", "See", "check", "push"]

T = TypeVar("T")

# What an export calls its files; those of a former one, and no others, are deleted.
_SHARD = re.compile(r"data/train-\d+-of-\d+\.parquet")
_MOST_CHANGES = 1000  # in one commit; the hub takes no more in good time
_TRIES = 4
_BACKOFF = Backoff(first=1.0, ceiling=8.0)


class Pushed(Struct, frozen=True):
    """What has become of an upload."""

    url: str
    commit: str
    uploaded: int  # files that are new or other than before
    uploaded_bytes: int
    unchanged: int
    deleted: int
    private: bool
    created: bool


def push(
    repo: str,
    files: Mapping[str, Path],
    card: str,
    *,
    private: bool = False,
    overwrite: bool = False,
    token: str | None = None,
    message: str = "Upload captions",
    see: See | None = None,
) -> Pushed:
    """Make files, by their paths there, what a data set consists of, beside its card.

    `overwrite`: files of others too, that are called like ours.

    Raises ConfigError where the hub would refuse it again, else UploadFailed.
    """
    there = Repo.named(repo, token)
    wanted = _Wanted(private, overwrite)
    upload = _Upload(there, files, card, message, see)
    with quiet():
        return _patiently(there, lambda: upload.run(wanted))


def check(
    repo: str, *, private: bool = False, overwrite: bool = False, token: str | None = None
) -> None:
    """Raise ConfigError where it is sure already that the hub would refuse an upload."""
    there = Repo.named(repo, token)
    with quiet():
        _patiently(there, lambda: _check(there, _Wanted(private, overwrite)))


class _Wanted(Struct, frozen=True):
    """What the data set may be, and what may be done to it."""

    private: bool
    overwrite: bool  # files of others


class _Upload:
    """One upload; what did not come to its end is looked at anew and gone on with."""

    def __init__(
        self, repo: Repo, files: Mapping[str, Path], card: str, message: str, see: See | None
    ) -> None:
        self._repo = repo
        self._files = files
        self._card = card
        self._message = message
        self._see = see
        self._changed: dict[str, int] = {}  # name -> bytes, over all tries
        self._deleted: set[str] = set()
        self._created = False

    def run(self, wanted: _Wanted) -> Pushed:
        head = self._head(wanted)
        held = self._repo.files(head.commit)
        theirs = _card(self._repo, head, held)
        _refuse_strangers(self._repo, held, theirs, wanted)
        # The card comes first: where it takes several commits, it says whose the files are.
        changes = [*self._cards(theirs), *self._additions(held), *self._deletions(held)]
        commit = self._commit(changes, head.commit)
        return Pushed(
            self._repo.page.url,
            commit,
            uploaded=len(self._changed),
            uploaded_bytes=sum(self._changed.values()),
            unchanged=len({*self._files, CARD}.difference(self._changed)),
            deleted=len(self._deleted),
            private=head.private,
            created=self._created,
        )

    def _head(self, wanted: _Wanted) -> Head:
        head = _allowed(self._repo, wanted)
        if head is not None:
            return head
        self._repo.create(private=wanted.private)
        self._created = True
        return _allowed(self._repo, wanted) or Head(wanted.private)

    def _additions(self, held: Mapping[str, Held]) -> Sequence[Operation]:
        changed = {
            name: path
            for name, path in self._files.items()
            if name not in held or not held[name].is_file(path)
        }
        self._changed |= {name: path.stat().st_size for name, path in changed.items()}
        return Sending(self._repo, changed, self._see).send()

    def _deletions(self, held: Mapping[str, Held]) -> Iterator[Operation]:
        for name in sorted(held):
            if _SHARD.fullmatch(name) and name not in self._files:
                self._deleted.add(name)
                yield CommitOperationDelete(name)

    def _cards(self, theirs: str) -> Iterator[Operation]:
        """Give the card if it says anything new, with what others have written in it."""
        card = merged(self._card, theirs)
        if card != theirs:
            data = card.encode()
            self._changed[CARD] = len(data)
            yield CommitOperationAdd(CARD, data)

    def _commit(self, changes: Sequence[Operation], parent: str) -> str:
        """Change all at once; of very many files the new ones come first, so that none lacks."""
        for start in range(0, len(changes), _MOST_CHANGES):
            some = changes[start : start + _MOST_CHANGES]
            parent = self._repo.commit(some, self._message, parent)
        return parent


def _allowed(repo: Repo, wanted: _Wanted) -> Head | None:
    """Look at the repository; refuse to show everybody what is to be private."""
    head = repo.head()
    if head is not None and wanted.private and not head.private:
        raise refusals.is_public(repo.page)
    return head


def _check(repo: Repo, wanted: _Wanted) -> None:
    if not repo.may_write():
        raise refusals.reads_only(repo.page)
    head = _allowed(repo, wanted)
    if head is not None and not wanted.overwrite:
        held = repo.files(head.commit)
        _refuse_strangers(repo, held, _card(repo, head, held), wanted)


def _card(repo: Repo, head: Head, held: Mapping[str, Held]) -> str:
    return repo.card(head.commit) if CARD in held else ""


def _refuse_strangers(repo: Repo, held: Mapping[str, Held], card: str, wanted: _Wanted) -> None:
    """Refuse to replace files that are called like ours, but that no export of ours has sent."""
    there = sorted(filter(_SHARD.fullmatch, held))
    if there and not wanted.overwrite and not is_ours(card):
        raise refusals.of_others(repo.page, there)


def _patiently(repo: Repo, act: Callable[[], T]) -> T:
    """Do something, again where the hub seems to be unwell, and say what is wrong in words."""
    for delay in islice(_BACKOFF.delays(), _TRIES - 1):
        try:
            return act()
        except Exception as exc:  # of whichever HTTP library the hub's own is built on
            if not refusals.passes(exc):
                raise refusals.told(exc, repo.page) from exc
        time.sleep(delay)
    try:
        return act()
    except Exception as exc:
        raise refusals.told(exc, repo.page) from exc
