"""Command line: what a job and its data set are called, wherever the data set lies.

A job is named after its data set, and its identity tells the data set from all others, so that
one name never stands for two. What lies elsewhere is called the same on every host.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from caption_flow.config import JobConfig
from caption_flow.dataset.earlier import folders, holds_captions
from caption_flow.errors import ConfigError

_FOLDER = "folder"  # with the next, the kinds of source that read local paths only
_CAPTIONS = "captions"
_AGAIN = "-again"  # behind the name of the job whose captions are the data set
_JOINED = "::"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HUB = "hf://datasets/"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[^/\s]+)?")
_KINDS = "arrow|csv|gz|json|jsonl|ndjson|parquet|tar|tgz|tsv|txt|zst"
_SUFFIXES = re.compile(rf"(\.({_KINDS}))+$", re.IGNORECASE)
_MANY = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[*?]")  # what stands for several names
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 100
_NAMELESS = "captions"


def known_job(config: JobConfig) -> str | None:
    """Name the job as far as the document tells; None: the only one there is."""
    told = config.job or config.dataset.name or config.dataset.dataset_path
    return job_name(config) if told else None


def job_name(config: JobConfig) -> str:
    """Name the job: as configured, or after its data set."""
    if config.job:
        return config.job
    title = config.dataset.name or _title(dataset_type(config), dataset_path(config))
    return _ODD.sub("-", title).strip("-.")[:_LONGEST] or _NAMELESS


def dataset_identity(config: JobConfig) -> str:
    """Tell the data set of a job from others, so that one name never stands for two."""
    dataset = config.dataset
    kind = dataset_type(config)
    return f"{kind}:{dataset.name or _place(kind, dataset_path(config))}"


def dataset_type(config: JobConfig) -> str:
    """Say what kind the data set is: as configured, or that of a folder of captions."""
    told = config.dataset.type
    return _CAPTIONS if told == _FOLDER and holds_captions(dataset_path(config)) else told


def dataset_path(config: JobConfig) -> str:
    """Say where the data set lies; it must be configured."""
    if config.dataset.dataset_path is None:
        raise ConfigError(
            "dataset.dataset_path is missing: say which images to caption, there or as PATH."
        )
    return config.dataset.dataset_path


def refuse_own_captions(config: JobConfig) -> None:
    """Refuse to caption what the job itself writes: it would read and write one folder."""
    if dataset_type(config) != _CAPTIONS:
        return
    own = _here(str(Path(config.storage.data_dir) / job_name(config)))
    for folder in folders(dataset_path(config)):
        if _here(folder) == own:
            raise ConfigError(
                f"The job {job_name(config)} would write into {folder}, the captions that it is to "
                "read. Give it another name, with job: or --job."
            )


def _place(kind: str, path: str) -> str:
    """Spell where a data set lies, for people too: without what may be a secret."""
    if kind == _CAPTIONS:
        return _JOINED.join(str(_here(folder)) for folder in folders(path))
    if kind == _FOLDER or os.path.lexists(Path(path).expanduser()):
        return str(_here(path))
    return _JOINED.join(map(_spelt, path.split(_JOINED)))


def _spelt(term: str) -> str:
    if _URL.match(term):
        parts = urlsplit(term)
        # Passwords and signatures are secrets, and others tomorrow.
        host = parts.netloc.rpartition("@")[2].lower()
        revisionless = parts.path if parts.scheme != "hf" else _revisionless(parts.path)
        return f"{parts.scheme}://{host}{revisionless}".rstrip("/")
    if _is_repository(term):
        return f"{_HUB}{_revisionless(term)}"
    return str(_here(term))


def _here(path: str) -> Path:
    return Path(path).expanduser().resolve()


def _title(kind: str, path: str) -> str:
    if kind == _CAPTIONS:
        return f"{_here(folders(path)[0]).name}{_AGAIN}"
    if kind == _FOLDER or os.path.lexists(Path(path).expanduser()):
        return _here(path).name
    term = path.split(_JOINED, maxsplit=1)[0]
    steps = _spelt(term).removeprefix(_HUB).split("/")
    if term.startswith(_HUB) or _is_repository(term):
        return steps[1] if len(steps) > 1 else steps[0]
    return next(filter(None, map(_tidy, reversed(steps))), "")


def _tidy(step: str) -> str:
    """Take off what stands for several names, and what says how a file is written."""
    return _SUFFIXES.sub("", _MANY.sub("", step)).strip("-_.:")


def _is_repository(term: str) -> bool:
    return bool(_REPOSITORY.fullmatch(term)) and not _SUFFIXES.search(term)


def _revisionless(path: str) -> str:
    """Leave out the revision: a data set that goes on is the same data set."""
    return re.sub(r"^([^@]*?/[^/@]+)@[^/]+", r"\1", path)
