"""Globs over paths in components: which files they mean, and which folders may hold such.

"**" stands for any folders or none; what is hidden is only meant by a pattern that is hidden too.
"""

import re
from fnmatch import fnmatchcase

from feeders.beneath import Parts

ANY_DEPTH = "**"
_MAGIC = re.compile(r"[*?\[]")
_DEEPEST = 64  # folders; a path of more is no path of a data set


def is_glob(text: str) -> bool:
    """Tell a pattern from a path."""
    return bool(_MAGIC.search(text))


def means(pattern: Parts, path: Parts) -> bool:
    """Whether the pattern means this path."""
    if len(path) > _DEEPEST:
        return False
    if not pattern:
        return not path
    if pattern[0] == ANY_DEPTH and means(pattern[1:], path):
        return True
    if not path or not _fits(pattern[0], path[0]):
        return False
    return means(pattern if pattern[0] == ANY_DEPTH else pattern[1:], path[1:])


def may_lead_on(pattern: Parts, folder: Parts) -> bool:
    """Whether the pattern may mean anything in this folder or beneath it."""
    if not pattern or len(folder) >= _DEEPEST:
        return False
    if not folder:
        return True
    if pattern[0] == ANY_DEPTH and may_lead_on(pattern[1:], folder):
        return True
    rest = pattern if pattern[0] == ANY_DEPTH else pattern[1:]
    return _fits(pattern[0], folder[0]) and may_lead_on(rest, folder[1:])


def _fits(pattern: str, part: str) -> bool:
    if part.startswith(".") and not pattern.startswith("."):
        return False
    return pattern == ANY_DEPTH or fnmatchcase(part, pattern)
