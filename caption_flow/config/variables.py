"""Values from the environment and from flags, each as a layer of its own.

CAPTION_FLOW_STORAGE__DATA_DIR is storage.data_dir. A variable may be meant for another
command in the same environment, so one is wrong only where no document knows it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from caption_flow.config.check import fields
from caption_flow.config.document import scalar
from caption_flow.config.layers import SCHEMAS, Layer
from caption_flow.config.legacy import spellings
from caption_flow.config.modern import Tree
from caption_flow.config.schema import Kind
from caption_flow.config.values import Settings
from caption_flow.config.words import near, options, plain_type

PREFIX = "CAPTION_FLOW_"
RESERVED = "CAPTION_FLOW_INTERNAL_"  # what processes of ours tell each other
_LEVEL = "__"


def from_environment(kind: Kind, environ: Mapping[str, str]) -> tuple[list[Layer], list[str]]:
    """Return the layers of the variables for one document, and what is wrong with others."""
    layers, mistakes = [], []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.startswith(RESERVED) or not text:
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split(_LEVEL))
        if _is_for(kind, path):
            layers.append(Layer(label=name, tree=_tree(kind, path, text)))
        elif not any(_is_for(other, path) for other in SCHEMAS):
            mistakes.append(_unknown(name))
    return layers, mistakes


def from_flags(kind: Kind, overrides: Mapping[str, object]) -> list[Layer]:
    """Return a layer for each flag; None is a flag that was not given."""
    return [
        Layer(label="command line", tree=_tree(kind, tuple(path.split(".")), value))
        for path, value in overrides.items()
        if value is not None
    ]


def _is_for(kind: Kind, path: tuple[str, ...]) -> bool:
    """Tell whether a document knows this path by name, or takes it when no other knows it."""
    found = _reach(kind, path)
    return found == "named" or (found == "open" and not _is_known_elsewhere(kind, path))


def _is_known_elsewhere(kind: Kind, path: tuple[str, ...]) -> bool:
    """Tell whether another document has a name for this or for what it lies in."""
    above = [path[:length] for length in range(2, len(path) + 1)]
    return any(_reach(other, way) == "named" for other in SCHEMAS if other != kind for way in above)


def _reach(kind: Kind, path: tuple[str, ...]) -> Literal["named", "open", "no"]:
    if ".".join(path) in spellings(kind):
        return "named"
    found = _hint(SCHEMAS[kind], path)
    return "no" if found is None else "open" if found is Any else "named"


def _hint(cls: type[Settings], path: tuple[str, ...]) -> Any:
    """Return the type of the field at a path: Any where all keys are taken, None for no field."""
    name, *rest = path
    known = fields(cls)
    if name not in known:
        return Any if cls.REST and name != cls.REST else None
    [hint, *_] = options(known[name].type)
    if not rest:
        return known[name].type
    if isinstance(hint, type) and issubclass(hint, Settings):
        return _hint(hint, tuple(rest))
    return Any if get_origin(hint) is dict else None


def _tree(kind: Kind, path: tuple[str, ...], value: object) -> Tree:
    tree: Any = read_value(_hint(SCHEMAS[kind], path), value)
    for name in reversed(path):
        tree = {name: tree}
    return dict(tree)


def read_value(hint: Any, value: object) -> Any:
    """Read the value as its field means it; text for a field of text is taken as it is."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, str):
        return value
    kinds = [plain_type(option)[0] for option in options(hint)]
    few = any(get_origin(kind) is Literal for kind in kinds)
    if str in kinds or (few and int not in kinds):
        return value
    read = scalar(value)
    if few:  # a number, or one of a few words
        return read if isinstance(read, int) else value
    texts = any(get_origin(kind) is tuple and get_args(kind)[0] is str for kind in kinds)
    return value if texts and not isinstance(read, list) else read


def _unknown(name: str) -> str:
    meant = near(name, _names())
    hint = f"; did you mean {meant}?" if meant else ""
    return f"{name} is the variable of no setting{hint}"


def _names() -> Iterator[str]:
    for cls in SCHEMAS.values():
        yield from (f"{PREFIX}{_LEVEL.join(path).upper()}" for path in paths(cls))


def paths(cls: type[Settings]) -> Iterator[tuple[str, ...]]:
    """Return the ways to all sections and fields that a variable can name."""
    for name, info in fields(cls).items():
        [hint, *_] = options(info.type)
        yield (name,)
        if isinstance(hint, type) and issubclass(hint, Settings):
            yield from ((name, *path) for path in paths(hint))
