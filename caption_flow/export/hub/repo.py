"""Export: a data set's repository on the hub, as far as an upload needs it.

The hub is the one in HF_ENDPOINT; the token goes to it alone, and into no log.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from msgspec import Struct

from caption_flow.export.hub import refusals
from caption_flow.export.hub.refusals import Page

CARD = "README.md"
KIND = "dataset"
BRANCH = "main"
Operation: TypeAlias = CommitOperationAdd | CommitOperationDelete

_PREFIXES = ("hf://", "datasets/")
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PIECE = 1 << 20  # bytes of a file in memory at once
_CHATTY = ("huggingface_hub", "httpx", "httpx2")
_OK = 200


class Head(Struct, frozen=True):
    """What a repository is now."""

    private: bool
    commit: str = ""  # the newest; empty: there is none


class Held(Struct, frozen=True):
    """A file of the repository."""

    size: int
    digest: str  # of a large file its SHA-256, of another what git calls it
    large: bool

    def is_file(self, path: Path) -> bool:
        """Whether a file of this host is the same."""
        if path.stat().st_size != self.size:
            return False
        return self.digest == (_sha256(path) if self.large else _git_digest(path.read_bytes()))


class Repo:
    """One data set on the hub, with what it takes to change it."""

    def __init__(self, name: str, token: str | None) -> None:
        endpoint = os.environ.get("HF_ENDPOINT", "").strip() or constants.ENDPOINT
        self.page = Page(endpoint.rstrip("/"), name)
        self.token = token
        # False: it must not look for a token itself.
        self._api = HfApi(endpoint=self.page.endpoint, token=token or False)

    @classmethod
    def named(cls, name: str, token: str | None) -> "Repo":
        """Make ready what a user names; raise ConfigError where nothing can be written there."""
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if not _NAME.fullmatch(name):
            raise refusals.misnamed(name)
        repo = cls(name, token or get_token())
        if constants.HF_HUB_OFFLINE:
            raise refusals.offline(repo.page)
        if not repo.token:
            raise refusals.no_token(repo.page)
        if not (repo.token.isascii() and repo.token.isprintable()):
            raise refusals.odd_token(repo.page)
        return repo

    def may_write(self) -> bool:
        """Tell whether the token may write at all, as far as it says so."""
        who = self._api.whoami()
        role: Any = who.get("auth", {}).get("accessToken", {}).get("role")
        return bool(role != "read")

    def head(self) -> Head | None:
        """Look at it; None where it does not exist yet."""
        try:
            info = self._api.dataset_info(self.page.repo)
        except RepositoryNotFoundError:
            return None
        return Head(bool(info.private), info.sha or "")

    def create(self, *, private: bool) -> None:
        """Make it; one that somebody made in between stays as it is."""
        self._api.create_repo(self.page.repo, repo_type=KIND, private=private, exist_ok=True)

    def files(self, commit: str) -> dict[str, Held]:
        """List the files of a commit."""
        if not commit:
            return {}
        entries = self._api.list_repo_tree(
            self.page.repo, recursive=True, revision=commit, repo_type=KIND
        )
        return {one.path: _held(one) for one in entries if isinstance(one, RepoFile)}

    def card(self, commit: str) -> str:
        """Read the card of a commit."""
        with TemporaryDirectory() as folder:
            found = hf_hub_download(
                self.page.repo,
                CARD,
                repo_type=KIND,
                revision=commit,
                local_dir=folder,
                token=self.token or False,
                endpoint=self.page.endpoint,
            )
            return Path(found).read_text("utf-8")

    def speaks_xet(self) -> bool:
        """Tell whether the hub takes large files by Xet; all do by plain HTTP.

        The library asks nobody and would send them by Xet wherever it can itself.
        """
        where = f"{self.page.endpoint}/api/datasets/{self.page.repo}/xet-write-token/{BRANCH}"
        answer = get_session().get(where, headers={"Authorization": f"Bearer {self.token}"})
        return answer.status_code == _OK

    def send(self, files: Sequence[CommitOperationAdd]) -> None:
        """Let the hub keep large files, that a commit then names."""
        self._api.preupload_lfs_files(self.page.repo, files, repo_type=KIND)

    def commit(self, changes: Sequence[Operation], title: str, parent: str) -> str:
        """Change files all at once, unless there is a newer commit; gives the new one."""
        made = self._api.create_commit(
            self.page.repo,
            changes,
            commit_message=title,
            repo_type=KIND,
            parent_commit=parent or None,
        )
        return made.oid


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from drawing bars, and from logging addresses that are signed."""
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    bars = not are_progress_bars_disabled()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if bars:
            enable_progress_bars()


def _held(file: RepoFile) -> Held:
    if file.lfs:
        return Held(file.size, file.lfs.sha256, large=True)
    return Held(file.size, file.blob_id, large=False)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
