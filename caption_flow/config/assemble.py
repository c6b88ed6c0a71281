"""Document, variables and flags become one checked struct, or one list of mistakes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from caption_flow.config.document import parse
from caption_flow.config.layers import Layer, Stack, unwrap
from caption_flow.config.schema import Kind
from caption_flow.config.values import Settings
from caption_flow.config.variables import from_environment, from_flags
from caption_flow.errors import ConfigError

C = TypeVar("C", bound=Settings)

LONGEST = 1024 * 1024  # bytes of a document


def assemble(
    kind: Kind,
    cls: type[C],
    path: Path | None,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
) -> tuple[C, tuple[str, ...]]:
    """Return the struct and the warnings; flags win over variables, those over the document."""
    stack = Stack(kind, _document(kind, path))
    layers, mistakes = from_environment(kind, environ)
    stack.mistakes += mistakes
    for layer in [*layers, *from_flags(kind, overrides)]:
        stack.add(layer)
    return stack.decode(cls), tuple(stack.warnings)


def _document(kind: Kind, path: Path | None) -> Layer:
    if path is None:
        return Layer(label="settings", tree={})
    label = str(path)
    layer = unwrap(kind, parse(_text(path), label), label)
    return replace(layer, folder=path.parent)


def _text(path: Path) -> str:
    contents = _contents(path)
    if len(contents) > LONGEST:
        raise ConfigError(f"{path} is over {LONGEST >> 20} MiB, too long for a configuration")
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not text in UTF-8") from exc


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
