"""Small files, read as a whole."""

from feeders.files.port import File, FileUnreadable


def whole(file: File, limit: int) -> bytes:
    """Read all of a file, if that is not too much."""
    size = file.facts().size
    if size > limit:
        raise FileUnreadable(f"{file.where} has {size:,} bytes; the limit is {limit:,}.")
    return file.read(0, size)
