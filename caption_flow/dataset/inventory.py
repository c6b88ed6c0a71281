"""Data set: what stands in the folder of the parts, under which name, and whose it is.

Looked at without taking a part over, so that sinks go on undisturbed.
"""

import fcntl
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from caption_flow.dataset.disk import on_disk
from caption_flow.dataset.parts import PartFolder


class Inventory(Struct, frozen=True):
    """The parts of a folder at one moment."""

    published: frozenset[str]
    writing: frozenset[str]  # under a temporary name, and the writer lives
    abandoned: frozenset[str]  # under a temporary name, and the writer is gone
    superseded: frozenset[str] = frozenset()  # merged into one of the published, which has the rows


def take_inventory(folder: PartFolder) -> Inventory:
    """Look at a folder, in which sinks may be at work."""
    with on_disk(folder.path):
        # Temporary parts first: one that is renamed meanwhile is seen under its final name.
        held = {part: _is_held(folder.temporary(part)) for part in folder.unpublished()}
        look = folder.look()
    published = look.published
    return Inventory(
        published=published,
        writing=frozenset(part for part in held if held[part]) - published,
        abandoned=frozenset(part for part in held if held[part] is False) - published,
        superseded=frozenset(look.superseded),
    )


def use_file(folder: PartFolder, part: str, use: Callable[[Path], None]) -> bool:
    """Use the file of a part, whichever name it has; False where there is none."""
    # In this order: it may be renamed just now.
    for file in (folder.temporary(part), folder.file(part), folder.retired(part)):
        try:
            use(file)
        except FileNotFoundError:
            continue
        return True
    return False


def _is_held(path: Path) -> bool | None:
    """Whether the writer of a temporary part lives; None where the part is gone."""
    try:
        with path.open("rb") as file:
            # Shared, and for a moment: it keeps no sink from taking the part over for long.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True
    return False
