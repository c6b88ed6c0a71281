"""Doctor, the disk of the captions: can be written, has room, and what lies there half done."""

import shutil
from pathlib import Path

from caption_flow.config.sizes import MIB, spelt
from caption_flow.dataset.inventory import take_inventory
from caption_flow.dataset.parts import PartFolder
from caption_flow.doctor.finding import Finding, ok, problem, told, warning
from caption_flow.errors import StorageBlocked, StorageUnfit

CHECK = "data dir"
ROW = 1024  # bytes of a caption with its columns, where no part tells; most have fewer
PART = 64 * MIB  # written before it replaces anything


def check_storage(data_dir: Path, job: str | None, rows: int, other: int) -> list[Finding]:
    """Look at the folder of the parts; it is not made.

    `rows`: that are to come, as far as anybody knows. `other`: bytes that others want there.
    """
    data_dir = data_dir.absolute()
    try:
        place = _nearest(data_dir / job if job else data_dir)
        PartFolder(place.parent, place.name).try_out(0)
    except (StorageBlocked, StorageUnfit) as exc:
        return [told(CHECK, "problem", exc, "Set storage.data_dir to another folder.")]
    except OSError as exc:
        said = f"{exc.filename} cannot be looked at: {exc.strerror}."
        cure = "Let this user in, or set storage.data_dir to another folder."
        return [problem(CHECK, said, cure)]
    folder = PartFolder(data_dir, job) if job and place == data_dir / job else None
    found = _left_over(folder) if folder else []
    free, needed = shutil.disk_usage(place).free, rows * ROW + other + PART
    if free < needed:
        said = (
            f"{place} has {spelt(free)} free, and this job may want {spelt(needed)} "
            f"({rows:,} rows, Redis, and a part that is written; an estimate)."
        )
        cure = "Free some, or set storage.data_dir to a larger disk."
        found.append(warning(CHECK, said, cure))
    there = place.is_relative_to(data_dir)
    where = f"{place}" if there else f"{data_dir} will be made; {place}"
    return found or [ok(CHECK, f"{where} can be written, and has {spelt(free)} free.")]


def _nearest(folder: Path) -> Path:
    """Find what is there of a path."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _left_over(folder: PartFolder) -> list[Finding]:
    try:
        abandoned = sorted(take_inventory(folder).abandoned)
    except (StorageBlocked, StorageUnfit) as exc:
        return [told(CHECK, "problem", exc, "Let this user read the folder.")]
    if not abandoned:
        return []
    said = (
        f"{folder.path} has {len(abandoned):,} hidden parts whose sinks are gone, such as "
        f".{abandoned[0]}.tmp."
    )
    cure = "Start a sink, or run: caption-flow scan_chunks --fix. Either settles them; delete none."
    return [warning(CHECK, said, cure)]
