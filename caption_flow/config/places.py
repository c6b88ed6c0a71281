"""Where a configuration document is looked for."""

import os
from collections.abc import Iterator
from pathlib import Path

from caption_flow.errors import ConfigError

# These are about one process and one host; all other commands serve the job.
OWN = frozenset({"worker", "monitor"})
FALLBACK = "orchestrator"
SYSTEM = Path("/etc/caption-flow")


def find(component: str, explicit: Path | None = None) -> Path | None:
    """Return the document of a command; None when there is none and the defaults stand."""
    if explicit is not None:
        return _named(explicit)
    names = [component] if component in {*OWN, FALLBACK} else [component, FALLBACK]
    return next((path for name in names for path in _places(name) if _is_file(path)), None)


def _named(explicit: Path) -> Path:
    try:
        path = explicit.expanduser()
    except RuntimeError:
        path = explicit
    if not path.exists() or path.is_dir():
        fault = "is a folder, not a document" if path.is_dir() else "is not there"
        raise ConfigError(f"{explicit} {fault}; give --config the path of a YAML document")
    return path


def _places(name: str) -> Iterator[Path]:
    file = f"{name}.yaml"
    yield Path(file)
    home = _home()
    if home:
        yield home / ".caption-flow" / file
    yield from (folder / "caption-flow" / file for folder in _user_folder(home))
    yield SYSTEM / file
    listed = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    for folder in map(Path, listed.split(os.pathsep)):
        if folder.is_absolute():
            yield folder / "caption-flow" / file
    yield Path("examples", file)


def _user_folder(home: Path | None) -> list[Path]:
    folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if folder.is_absolute():
        return [folder]
    return [home / ".config"] if home else []


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # no HOME and no account, as in some containers
        return None
    return home if home.is_absolute() else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder on the way may not be entered
        return False
