"""Prompts that use the data: read once when the settings are read, filled in for each sample.

A value is put in as text and never read again: braces in it are braces, and nothing of it is
looked up, formatted or run. Whatever a data set holds, filling in gives a text.
"""

import math
import re
from collections.abc import Container, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import Struct

from caption_flow.errors import BadTemplate

FILENAME: Final = "filename"  # the one name that is neither a column nor a field
PREFIXES: Final = ("column", "col")

# Characters of one value. It may be a whole book, by mistake or by malice, and a prompt that is
# longer than a model's context ends its sample.
MOST: Final = 16_000
_CUT: Final = "…"
_DEEPEST: Final = 32  # levels of a value written as JSON; writing it is recursive
_BITS: Final = 2048  # of a whole number: longer ones Python may refuse to write
_SHOWN: Final = 40  # characters of a prompt that a mistake quotes

_TOKENS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_UNSOUND = re.compile("[\x00\ud800-\udfff]")  # is refused by tokenizers, or cannot be encoded
_TAR = ".tar#"  # between a tar and its member, in the source of a sample


class Field(Struct, frozen=True):
    """A place that is filled in."""

    name: str
    column: bool = False  # of the sample for sure, whatever earlier stages write
    default: str | None = None

    @property
    def spelled(self) -> str:
        """As it stands in the prompt, without its default."""
        return f"{{{PREFIXES[0]}:{self.name}}}" if self.column else f"{{{self.name}}}"

    def filled(self, columns: Mapping[str, Any], earlier: Mapping[str, Any], source: str) -> str:
        """Find the value and write it."""
        return written(self._value(columns, earlier, source)) or self.default or ""

    def _value(self, columns: Mapping[str, Any], earlier: Mapping[str, Any], source: str) -> Any:
        if not self.column:
            if (name := known_as(self.name, earlier)) is not None:
                return earlier[name]
            if self.name.strip() == FILENAME:
                return base_name(source)
        name = known_as(self.name, columns)
        return None if name is None else columns[name]


class Template(Struct, frozen=True):
    """A prompt in its pieces: texts that stay, and fields."""

    pieces: tuple[str | Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The places that are filled in."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Field))

    def render(
        self, columns: Mapping[str, Any], earlier: Mapping[str, Any], source: str = ""
    ) -> str:
        """Fill in the columns of a sample, what earlier stages wrote, and where it lies."""
        return "".join(
            piece if isinstance(piece, str) else piece.filled(columns, earlier, source)
            for piece in self.pieces
        )


def parse(text: str) -> Template:
    """Read a prompt; BadTemplate says what is wrong, beginning with "has"."""
    pieces: list[str | Field] = []
    end = 0
    for token in _TOKENS.finditer(text):
        pieces += [text[end : token.start()], _piece(token)]
        end = token.end()
    pieces.append(text[end:])
    return Template(tuple(piece for piece in pieces if piece != ""))


def escape(text: str) -> str:
    """Write a text so that its braces stay braces."""
    return text.replace("{", "{{").replace("}", "}}")


def known_as(name: str, known: Container[str]) -> str | None:
    """Find a name as written, or else without the spaces around it; None where neither is known."""
    return next((one for one in (name, name.strip()) if one in known), None)


def written(value: Any) -> str:
    """Write a value of a data set as text."""
    text = _joined(value) if isinstance(value, list | tuple) else _one(value)
    return text if len(text) <= MOST else text[: MOST - len(_CUT)] + _CUT


def base_name(source: str) -> str:
    """Find the name of an image's file in its path or URL."""
    _, tar, member = source.partition(_TAR)
    if tar:
        return member.rpartition("/")[2]
    _, url, rest = source.partition("://")
    if not url:
        return source.rstrip("/").rpartition("/")[2]
    # Decoding needs a module that few prompts do.
    from urllib.parse import unquote  # noqa: PLC0415

    path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")[2]
    return unquote(path.rstrip("/").rpartition("/")[2])


def _piece(token: re.Match[str]) -> str | Field:
    if token[0] in {"{{", "}}"}:
        return token[0][0]
    if token[1] is None:
        raise BadTemplate(_lone(token))
    return _field(token[1])


def _field(inside: str) -> Field:
    name, bar, default = inside.partition("|")
    prefix, colon, rest = name.partition(":")
    if colon and prefix.strip() not in PREFIXES:
        raise BadTemplate(_unknown(prefix.strip(), rest, inside))
    name = rest if colon else name
    if not name.strip():
        raise BadTemplate(f"has {_quoted(f'{{{inside}}}')}, which names nothing; {_doubled()}")
    return Field(name, column=bool(colon), default=default if bar else None)


def _lone(token: re.Match[str]) -> str:
    brace, other = token[0], "}" if token[0] == "{" else "{"
    at = token.start() if brace == "{" else max(0, token.end() - _SHOWN)
    near = _quoted(token.string[at : at + _SHOWN])
    return f'has a "{brace}" without its "{other}", in {near}; {_doubled()}'


def _unknown(prefix: str, rest: str, inside: str) -> str:
    near = get_close_matches(prefix, PREFIXES, n=1)
    hint = f"did you mean {_quoted(f'{{{near[0]}:{rest}}}')}? If not, " if near else ""
    if not near and re.fullmatch(r"[\w -]+", prefix) and rest.strip():
        hint = f"with a default it is {_quoted(f'{{{prefix}|{rest}}}')}; "
    said = f'has {_quoted(f"{{{inside}}}")}, where only "column" may stand before the colon; '
    return f"{said}{hint}{_doubled()}"


def _doubled() -> str:
    return 'write "{{" and "}}" for braces that are meant as such'


def _quoted(text: str) -> str:
    """Show the beginning of a piece of a prompt, on one line."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}{_CUT}"
    return '"' + "".join(mark if mark.isprintable() else " " for mark in cut) + '"'


def _joined(values: list[Any] | tuple[Any, ...]) -> str:
    return ", ".join(_one(value) for value in values if value is not None)


def _one(value: Any) -> str:
    if isinstance(value, str):
        return _sound(value)
    plain = _plain(value, _DEEPEST)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _plain(value: Any, levels: int) -> Any:
    """Turn a value into what certainly can be written as JSON."""
    if not isinstance(value, dict | list | tuple):
        return _plain_scalar(value)
    if not levels:
        return _CUT
    if isinstance(value, dict):
        return {_sound(str(name)): _plain(item, levels - 1) for name, item in value.items()}
    return [_plain(item, levels - 1) for item in value]


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, int):
        return value if value.bit_length() <= _BITS else _CUT
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no other
    return value


def _sound(text: str) -> str:
    return _UNSOUND.sub("\ufffd", text)
