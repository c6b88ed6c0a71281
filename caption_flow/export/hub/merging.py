"""Export: a card that is there already, with our part of it made new.

Ours is what stands between two marks, and some keys of the header; all else is of people, and
stays. A header that says what it should stays as it is spelled, too.
"""

import re
from typing import Any

from caption_flow.export.hub.header import dump, loaded

__all__ = ["BEGIN", "DEFAULT", "END", "block", "dump", "is_ours", "merged", "unmarked"]

BEGIN = "<!-- caption-flow:begin -->"
END = "<!-- caption-flow:end -->"
DEFAULT = "default"  # the name of the config that is ours
SPLIT = "train"  # and of its split
_RULE = "---\n"
_HEADER = re.compile(r"\s*---[ \t]*\n(.*?\n|)---[ \t]*(?:\n|\Z)", re.DOTALL)
_MARK = re.compile(rf"^(?:{BEGIN}|{END})$", re.MULTILINE)
_BLOCK = re.compile(rf"^{BEGIN}$(?:(?!^{BEGIN}$).)*?^{END}$", re.DOTALL | re.MULTILINE)
_LONE = re.compile(rf"({_BLOCK.pattern})|{_MARK.pattern}\n?", re.DOTALL | re.MULTILINE)
_ADDED = frozenset({"tags", "task_categories", "language"})  # to what others have put there


def merged(ours: str, theirs: str) -> str:
    """Put our card into one that is there; raise ConfigError where its header is no YAML."""
    if not theirs.strip():
        return ours
    our_header, our_text = _parted(ours)
    their_header, their_text = _parted(theirs)
    keys = loaded(their_header)
    wanted = _combined(loaded(our_header), keys)
    header = their_header if wanted == keys else dump(wanted)
    return _RULE + header + _RULE + _text(our_text, their_text)


def is_ours(card: str) -> bool:
    """Whether an export of ours wrote some of a card."""
    return bool(_MARK.search(card))


def block(text: str) -> str:
    """Mark a text as ours."""
    return f"{BEGIN}\n{text.strip()}\n{END}"


def unmarked(text: str) -> str:
    """Spoil marks in what is not to be taken for one."""
    return text.replace("<!-- caption-flow:", "<!-- caption-flow :")


def _parted(card: str) -> tuple[str, str]:
    found = _HEADER.match(card)
    return (found[1], card[found.end() :]) if found else ("", card)


def _combined(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    found = dict(theirs)
    for key, value in ours.items():
        if key in _ADDED:
            found[key] = _added(theirs.get(key), value)
        elif key == "configs":
            found[key] = _configs(_listed(theirs.get(key)), *value)
        elif key == "dataset_info":
            found[key] = _replaced(_listed(theirs.get(key)), value)
        else:
            found[key] = value
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _added(theirs: Any, ours: list[str]) -> list[Any]:
    known = _listed(theirs)
    return known + [one for one in ours if one not in known]


def _configs(theirs: list[Any], mine: dict[str, Any]) -> list[Any]:
    """Put our split into the config of its name, beside other splits and configs."""
    if DEFAULT not in map(_name, theirs):
        return [mine, *theirs]
    return [_config(one, mine) if _name(one) == DEFAULT else one for one in theirs]


def _config(theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    if "data_dir" in theirs:  # then their paths are no paths of ours
        return mine
    [ours] = mine["data_files"]
    splits = [one for one in _listed(theirs.get("data_files")) if isinstance(one, dict)]
    if SPLIT not in map(_split, splits):
        splits = [ours, *splits]
    files = [ours if _split(one) == SPLIT else one for one in splits]
    return {**theirs, **mine, "data_files": files}


def _replaced(theirs: list[Any], mine: dict[str, Any]) -> Any:
    """Put what we say of our config in the place of what was said of it."""
    if all(_name(one) == DEFAULT for one in theirs):
        return mine
    named = {"config_name": DEFAULT} | mine
    if DEFAULT not in map(_name, theirs):
        return [named, *theirs]
    return [named if _name(one) == DEFAULT else one for one in theirs]


def _name(config: Any) -> Any:
    return config.get("config_name", DEFAULT) if isinstance(config, dict) else None


def _split(files: dict[str, Any]) -> Any:
    return files.get("split", SPLIT)


def _text(ours: str, theirs: str) -> str:
    mine = _BLOCK.search(ours)
    theirs = _LONE.sub(lambda found: found[1] or "", theirs)
    if mine is None:
        return theirs
    place = _BLOCK.search(theirs)
    if place is None:
        return f"{theirs.rstrip()}\n\n{mine[0]}\n" if theirs.strip() else ours
    return theirs[: place.start()] + mine[0] + theirs[place.end() :]
