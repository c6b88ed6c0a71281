"""A data set on the Hugging Face hub at one commit: what lies in it, and who may read it.

Asks the hub's API when a data set is opened. The hub itself is named by the operator, in
HF_ENDPOINT, and trusted; a token goes to it alone, and into no log.
"""

import os
import re
import time
from collections.abc import Callable
from itertools import islice
from typing import TypeVar
from urllib.parse import quote, unquote

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from msgspec import Struct

from caption_flow.errors import ConfigError, SourceError
from caption_flow.retry import Backoff
from feeders.files.port import Facts, FileUnreachable

T = TypeVar("T")

PUBLIC = "https://huggingface.co"
SCHEME = "hf://"
_DATASETS = "datasets/"
# A revision has slashes as %2F, but for those that the hub makes by itself.
_PATH = re.compile(
    r"([\w.-]+/[\w.-]+|[\w.-]+(?=$|@))(?:@(refs/convert/[\w.-]+|refs/pr/\d+|[^/]+))?(?:/(.*))?",
    re.ASCII,
)
_TRIES = 3
_BACKOFF = Backoff(first=0.3, ceiling=2.0)
_PASSING = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
_SECONDS = 30.0  # for one answer of the API


class HubPath(Struct, frozen=True):
    """What a path of the configuration names on the hub."""

    repo: str
    revision: str | None = None  # a branch, tag or commit; None: the main branch
    inside: str = ""  # a file, folder or glob

    @classmethod
    def parse(cls, text: str) -> "HubPath":
        """Take apart hf://datasets/USER/NAME@REVISION/FILES, or USER/NAME@REVISION alone."""
        rest = text.removeprefix(SCHEME)
        if rest != text and not rest.startswith(_DATASETS):
            raise ConfigError(f"{text} names no data set. Write hf://datasets/USER/NAME.")
        return _parse(rest.removeprefix(_DATASETS), text)


class Commit(Struct, frozen=True):
    """One commit of a data set."""

    endpoint: str  # of the hub, without a slash at the end
    repo: str
    sha: str
    public: bool  # anyone may read it, without a token
    has_token: bool  # we have one

    def path(self, name: str) -> str:
        """Spell where a file of it lies, below the endpoint."""
        return f"datasets/{self.repo}/resolve/{self.sha}/{quote(name)}"


class Hub:
    """The API, as far as we need it."""

    def __init__(self) -> None:
        self.endpoint = (os.environ.get("HF_ENDPOINT", "").strip() or PUBLIC).rstrip("/")
        self.token = _token()
        self._api = HfApi(endpoint=self.endpoint, token=self.token or False)

    def pin(self, repo: str, revision: str | None) -> Commit:
        """Find which commit a branch or tag means now."""
        info = self._ask(
            lambda: self._api.dataset_info(repo, revision=revision, timeout=_SECONDS),
            repo,
            revision,
        )
        if not info.sha:
            raise SourceError(f"{repo} on {self.endpoint} has no commit yet. Upload files first.")
        open_to_all = info.private is False and info.gated is False
        has_token = bool(self.token)
        return Commit(self.endpoint, repo, info.sha, open_to_all or not has_token, has_token)

    def files(self, commit: Commit, folder: str) -> dict[str, Facts]:
        """List the files in a folder and beneath it."""
        return self._ask(lambda: self._listed(commit, folder), commit.repo, commit.sha, folder)

    def _listed(self, commit: Commit, folder: str) -> dict[str, Facts]:
        entries = self._api.list_repo_tree(
            commit.repo, folder or None, recursive=True, revision=commit.sha, repo_type="dataset"
        )
        return {one.path: _facts(one) for one in entries if isinstance(one, RepoFile)}

    def _ask(self, ask: Callable[[], T], repo: str, revision: str | None, folder: str = "") -> T:
        """Ask, once more where the hub seems to be unwell, and say what is wrong in words."""
        for delay in islice(_BACKOFF.delays(), _TRIES - 1):
            try:
                return ask()
            except Exception as exc:  # of whichever HTTP library the hub's own is built on
                if not _passes(exc):
                    raise self._told(exc, repo, revision, folder) from exc
            time.sleep(delay)
        try:
            return ask()
        except Exception as exc:
            raise self._told(exc, repo, revision, folder) from exc

    def _told(self, exc: Exception, repo: str, revision: str | None, folder: str) -> Exception:
        page = f"{self.endpoint}/datasets/{repo}"
        if isinstance(exc, HFValidationError):
            return ConfigError(f"{repo} cannot be the name of a data set. Write USER/NAME.")
        why = self._refusal(exc, page, revision, folder)
        if why:
            return SourceError(why)
        return FileUnreachable(
            f"The hub at {self.endpoint} does not answer about {repo} ({_first_line(exc)}). Check "
            "HF_ENDPOINT and the network, and start again; no sample is lost."
        )

    def _refusal(self, exc: Exception, page: str, revision: str | None, folder: str) -> str:
        """Put in words what will not pass; empty for what may."""
        has_token, why = bool(self.token), ""
        if isinstance(exc, OfflineModeIsEnabled):
            why = (
                f"{page} is on the hub, and HF_HUB_OFFLINE keeps this process off it. Unset that, "
                "or name a folder of this host."
            )
        elif isinstance(exc, GatedRepoError):  # before the next: it is one of them
            why = gated(page, has_token=has_token)
        elif isinstance(exc, RevisionNotFoundError):
            why = f'{page} has no revision "{revision}". Name a branch, tag or commit listed there.'
        elif isinstance(exc, EntryNotFoundError):
            why = f"{page} has no folder {folder} at {revision}. Mend the path."
        elif isinstance(exc, RepositoryNotFoundError) or _status(exc) in _REFUSED:
            why = _not_found(page, has_token=has_token)
        return why


def gated(page: str, *, has_token: bool) -> str:
    """Say how to get at a data set that asks for consent."""
    first = "" if has_token else "set HF_TOKEN to a token of yours, and "
    return (
        f"{page} may be read only by those who accepted its terms: {first}accept them on that "
        "page, with the account of the token."
    )


def _not_found(page: str, *, has_token: bool) -> str:
    token = "a token that may read it in HF_TOKEN" if has_token else "HF_TOKEN"
    return f"{page} does not exist, or is private. Check the name; if it is private, set {token}."


def _token() -> str | None:
    for name in ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    return get_token()


def _parse(rest: str, text: str) -> HubPath:
    match = _PATH.fullmatch(rest)
    if not match:
        raise ConfigError(f"{text} names no data set of the hub. Write USER/NAME.")
    repo, revision, inside = match.groups()
    return HubPath(repo, unquote(revision) if revision else None, (inside or "").strip("/"))


def _facts(file: RepoFile) -> Facts:
    return Facts(file.size, file.lfs.sha256 if file.lfs else file.blob_id)


def _passes(exc: Exception) -> bool:
    """Whether asking again soon may help."""
    if isinstance(exc, HfHubHTTPError):
        return _status(exc) in _PASSING
    return not isinstance(exc, (OfflineModeIsEnabled, HFValidationError, EntryNotFoundError))


def _status(exc: Exception) -> int:
    return exc.response.status_code if isinstance(exc, HfHubHTTPError) else 0


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).strip().splitlines()), "") or type(exc).__name__
