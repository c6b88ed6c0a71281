"""What a data set's card says of its files: README.md's header, written by strangers.

configs:
- config_name: cats
  data_files:
  - split: train
    path: cats/train-*.parquet
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

from caption_flow.errors import ConfigError, SourceError
from feeders.beneath import Parts
from feeders.files.braces import expand
from feeders.files.globs import ANY_DEPTH, is_glob, means

NAME = "README.md"
LARGEST = 1 << 20  # bytes
DEFAULT_SPLIT = "train"
_MARK = "---"
_MOST_FILES = 10_000  # that one path of a card may stand for
_MOST_DEPTHS = 3  # "**" in one pattern; each makes matching harder by the depth of a path

Patterns: TypeAlias = dict[str, tuple[Parts, ...]]  # split -> what its files are called


class Subset(Struct, frozen=True):
    """One of the data sets that a card tells of."""

    name: str
    patterns: Patterns
    default: bool = False

    def split(self, name: str) -> str | None:
        """Tell which split a file is of; None: it is of none."""
        path = tuple(name.split("/"))
        for split, patterns in self.patterns.items():
            if any(means(pattern, path) for pattern in patterns):
                return split
        return None


def subsets(card: bytes, where: str) -> list[Subset]:
    """Read what a card says of its subsets; empty where it says nothing."""
    try:
        header = yaml.safe_load(_header(card.decode("utf-8-sig")))
        found = header.get("configs") if isinstance(header, dict) else None
        return [_subset(one) for one in found or ()]
    except (ValueError, TypeError, RecursionError, yaml.YAMLError, ConfigError) as exc:
        raise SourceError(
            f"The header of {where} cannot be understood: {exc}. Mend its configs, or name the "
            "files themselves in the path of the source."
        ) from exc


def pick(found: list[Subset], wanted: str | None, where: str) -> Subset | None:
    """Choose the subset that is wanted; None where there are none to choose from."""
    names = ", ".join(one.name for one in found)
    if wanted is not None:
        for one in found:
            if one.name == wanted:
                return one
        said = f"It has: {names}." if names else "Its README.md names none: leave it out."
        raise ConfigError(f'{where} has no subset "{wanted}". {said}')
    if len(found) <= 1:
        return found[0] if found else None
    for one in found:
        if one.default or one.name == "default":
            return one
    raise ConfigError(f"{where} has several subsets: {names}. Name one of them as dataset_config.")


def _header(text: str) -> str:
    first, _, rest = text.partition("\n")
    if first.strip() != _MARK:
        return ""
    lines = rest.splitlines()
    end = next((at for at, line in enumerate(lines) if line.rstrip() == _MARK), 0)
    return "\n".join(lines[:end])


def _subset(config: Any) -> Subset:
    if not isinstance(config, dict):
        raise TypeError("configs holds something else than configs")
    folder = str(config.get("data_dir") or "")
    found: dict[str, list[Parts]] = {}
    for split, path in _files(config.get("data_files")):
        found.setdefault(split, []).extend(_patterns(folder, path))
    if not found:
        found[DEFAULT_SPLIT] = _patterns(folder, ANY_DEPTH)
    patterns = {split: tuple(some) for split, some in found.items()}
    name = str(config.get("config_name") or "default")
    return Subset(name, patterns, config.get("default") is True)


def _files(said: Any) -> Iterator[tuple[str, str]]:
    """Give splits and paths, in all the spellings there are."""
    if isinstance(said, str):
        yield DEFAULT_SPLIT, said
    elif isinstance(said, dict) and "path" in said:
        paths = said["path"]
        for path in paths if isinstance(paths, list) else [paths]:
            yield str(said.get("split") or DEFAULT_SPLIT), str(path)
    elif isinstance(said, dict):
        for split, path in said.items():
            yield from _files({"split": split, "path": path})
    elif isinstance(said, list):
        for one in said:
            yield from _files(one)
    elif said is not None:
        raise TypeError(f"data_files holds {said!r}")


def _patterns(folder: str, path: str) -> list[Parts]:
    return [
        pattern for text in expand(path, _MOST_FILES) for pattern in _pattern(f"{folder}/{text}")
    ]


def _pattern(text: str) -> Iterator[Parts]:
    parts = tuple(part for part in text.split("/") if part not in {"", "."})
    if parts.count(ANY_DEPTH) > _MOST_DEPTHS:
        raise ConfigError(f'the pattern {text} has more than {_MOST_DEPTHS} "**"')
    yield parts
    if not is_glob(text):
        yield (*parts, ANY_DEPTH)  # it may be a folder
