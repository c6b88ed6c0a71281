"""Engine: as many open files as it may have prepared images. Many systems begin with 1,024."""

from contextlib import suppress

_OTHERS = 512  # files: of Python, of vLLM, of connections and of what is read meanwhile


def allow(images: int) -> None:
    """Let the process hold so many images that others have prepared, as far as the system does.

    Each takes a file for as long as its memory is looked at.
    """
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = images + _OTHERS
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    if most > soft != resource.RLIM_INFINITY:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
