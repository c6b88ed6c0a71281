"""Plain data in, a struct of the schema out, or everything that is wrong with it at once.

Walks the struct rather than the data, so that each mistake is told in the words of the
field it concerns; msgspec judges the single values.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta
from msgspec.structs import FieldInfo

from caption_flow.config.plain import key_sentence, odd
from caption_flow.config.sizes import parse_share, parse_size
from caption_flow.config.values import Settings
from caption_flow.config.words import (
    Mistake,
    Steps,
    described,
    dotted,
    in_section,
    is_secret,
    meant,
    near,
    options,
    plain_type,
    shown,
    steps_of,
    takes_null,
    wrong,
)
from caption_flow.errors import ConfigError

S = TypeVar("S", bound=Settings)
Spellings = Callable[[Steps], list[str]]  # other names that a section's fields go by
Elsewhere = Callable[[str], str]  # the document in which a name may stand at the top, if not here

_BAD: Final = object()  # stands for a value whose mistake is recorded
_CLOSE = 0.85  # so near to a name of ours, a key of an open section is a slip of the finger
_REAL = frozenset({"ubatch_size"})  # vLLM's own, however near to a name of ours


def decode(
    cls: type[S],
    tree: Any,
    spellings: Spellings = lambda _: [],
    elsewhere: Elsewhere = lambda _: "",
) -> tuple[S | None, list[Mistake]]:
    """Make a struct of plain data; None when there are mistakes."""
    checker = _Checker(cls, spellings, elsewhere)
    made = checker.section(cls, tree, ())
    return (None if checker.mistakes else made), checker.mistakes


@cache
def fields(cls: type[Settings]) -> dict[str, FieldInfo]:
    """Return the fields of a struct by name, without the one that takes the rest."""
    return {info.name: info for info in msgspec.structs.fields(cls) if info.name != cls.REST}


def homes(cls: type[Settings], name: str) -> Iterator[Steps]:
    """Find the sections, this one and those below, that have a field of this name."""
    for field, info in fields(cls).items():
        if field == name:
            yield ()
        base, _ = plain_type(options(info.type)[0])
        listed = get_origin(base) is tuple
        inner = get_args(base)[0] if listed else base
        if isinstance(inner, type) and issubclass(inner, Settings):
            step = f"{field}[]" if listed else field
            yield from ((step, *home) for home in homes(inner, name))


class _Checker:
    def __init__(self, root: type[Settings], spellings: Spellings, elsewhere: Elsewhere) -> None:
        self.mistakes: list[Mistake] = []
        self._root = root
        self._spellings = spellings
        self._elsewhere = elsewhere

    def section(self, cls: type[Settings], raw: Any, steps: Steps) -> Any:
        """Make one struct; its fields first, then what they are together."""
        if not isinstance(raw, dict | None):
            written = "" if is_secret(steps) else in_section(cls, raw)
            mistake = wrong(steps, raw, described(cls) + written)
            return self._bad(mistake)
        known = fields(cls)
        given: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        slips: set[str] = set()  # fields that are there, but misspelt
        for name, value in (raw or {}).items():
            if not isinstance(name, str):
                self._odd_key(steps, name)
            elif name in known and _says_nothing(known[name], value):
                continue
            elif name in known:
                given[name] = self._value(known[name].type, value, (*steps, name))
            elif self._goes_to_the_rest(cls, name, steps):
                rest[name] = self._open_value(value, (*steps, name))
            else:
                slips |= self._unknown(cls, name, steps)
        if rest:
            given[cls.REST] = rest
        return self._made(cls, given, steps, slips)

    def _made(
        self, cls: type[Settings], given: dict[str, Any], steps: Steps, slips: set[str]
    ) -> Any:
        missing = [n for n, info in fields(cls).items() if info.required and n not in given]
        for name in missing:
            if name not in slips:
                self._say(steps, f'needs "{name}"')
        if missing or slips or any(value is _BAD for value in given.values()):
            return _BAD  # what fields are together cannot be judged without one of them
        try:
            return cls(**given)
        except ConfigError as exc:
            for line in str(exc).splitlines():
                name, _, sentence = line.partition(" ")
                self._say((*steps, *steps_of(name)), sentence)
            return _BAD

    def _value(self, hint: Any, raw: Any, steps: Steps) -> Any:
        if raw in (None, "") and takes_null(hint):
            return None
        choices = options(hint)
        if len(choices) > 1:
            return self._leaf(hint, raw, steps)
        base, meta = plain_type(choices[0])
        if isinstance(base, type) and issubclass(base, Settings):
            return self.section(base, raw, steps)
        if get_origin(base) is dict:
            return self._mapping(choices[0], raw, steps)
        if get_origin(base) is tuple and get_args(base)[1:] == (...,):
            return self._list(choices[0], raw, steps)
        return self._leaf(choices[0], _prepared(raw, meta), steps)

    def _mapping(self, hint: Any, raw: Any, steps: Steps) -> Any:
        _, value = get_args(plain_type(hint)[0])
        if value is Any or not isinstance(raw, dict):
            return self._leaf(hint, {} if raw is None else raw, steps)
        strange = [name for name in raw if not isinstance(name, str)]
        for name in strange:
            self._odd_key(steps, name)
        made = {n: self._leaf(value, raw[n], (*steps, n)) for n in raw if n not in strange}
        return _BAD if strange or any(item is _BAD for item in made.values()) else made

    def _list(self, hint: Any, raw: Any, steps: Steps) -> Any:
        base, meta = plain_type(hint)
        item, _ = get_args(base)
        of_sections = isinstance(item, type) and issubclass(item, Settings)
        if raw is None and meta is None:
            return ()
        if isinstance(raw, str) and not of_sections:
            raw = [raw]  # one prompt, one stop text: no need for a list
        if not isinstance(raw, list | tuple):
            return self._wrong(steps, raw, hint)
        made = tuple(self._value(item, value, (*steps, n)) for n, value in enumerate(raw))
        if any(value is _BAD for value in made):
            return _BAD
        return made if of_sections else self._leaf(hint, made, steps)

    def _leaf(self, hint: Any, raw: Any, steps: Steps) -> Any:
        strange = list(odd(raw, steps))
        if strange:
            self.mistakes += strange
            return _BAD
        try:
            return msgspec.convert(raw, hint)
        except msgspec.ValidationError:
            return self._wrong(steps, raw, hint)

    def _open_value(self, raw: Any, steps: Steps) -> Any:
        strange = list(odd(raw, steps))
        self.mistakes += strange
        return _BAD if strange else raw

    def _goes_to_the_rest(self, cls: type[Settings], name: str, steps: Steps) -> bool:
        if not cls.REST or name == cls.REST:
            return False
        if name in _REAL:
            return True
        letters = [sorted(field) for field in fields(cls)]
        slip = near(name, self._names(cls, steps), cutoff=_CLOSE) or sorted(name) in letters
        return not slip and not list(homes(cls, name))

    def _names(self, cls: type[Settings], steps: Steps) -> list[str]:
        """Give what a key of a section may have been meant to be."""
        return [*fields(cls), *cls.MEANT, *self._spellings(steps)]

    def _unknown(self, cls: type[Settings], name: str, steps: Steps) -> set[str]:
        """Say so, and what was probably meant; return the field here that it may be."""
        tried = near(name, self._names(cls, steps)) or ""
        likely = cls.MEANT.get(tried, tried)
        home = "" if name in cls.MEANT else self._home(cls, name, steps)
        if name == cls.REST:
            sentence = f'has no field "{name}"; write what is in it one level up'
        elif home:
            sentence = f"has no field {shown(name)}; it belongs {home}"
        elif likely:
            sentence = f'has no field {shown(name)}; did you mean "{likely}"?'
        elif is_secret(steps):
            sentence = f"has a field (not shown) beside {', '.join(fields(cls))}"
        else:
            sentence = f"has no field {shown(name)}"
        self.mistakes.append(Mistake(steps, sentence, key=name))
        return {likely.partition(".")[0]} if likely and not home else set()

    def _home(self, cls: type[Settings], name: str, steps: Steps) -> str:
        """Say where a name belongs that is a right one, but here."""
        below = [(*steps, *home) for home in homes(cls, name)]
        found = sorted(below or homes(self._root, name), key=len)
        if not found:
            return "" if steps else self._elsewhere(name)
        if len(found) > 1 and len(found[0]) == len(found[1]):
            return ""
        return f"in {dotted(found[0])}" if found[0] else "at the top"

    def _odd_key(self, steps: Steps, name: object) -> None:
        self._say(steps, key_sentence(name, steps))

    def _wrong(self, steps: Steps, raw: Any, hint: Any) -> Any:
        return self._bad(wrong(steps, raw, described(hint), meant(hint, raw)))

    def _bad(self, mistake: Mistake) -> Any:
        self.mistakes.append(mistake)
        return _BAD

    def _say(self, steps: Steps, sentence: str) -> None:
        self.mistakes.append(Mistake(steps, sentence))


def _says_nothing(info: FieldInfo, raw: Any) -> bool:
    """Tell whether a key without a value leaves its default; a list without items has none."""
    base, _ = plain_type(options(info.type)[0])
    listed = get_args(base)[1:] == (...,)
    has_default = not info.required and info.default is not UNSET
    return raw is None and has_default and not (listed or takes_null(info.type))


def _prepared(raw: Any, meta: Meta | None) -> Any:
    """Read a value as its field means it: sizes with their units, 1% as 0.01, ~ as
    the home folder."""
    extra = (meta.extra if meta else None) or {}
    if isinstance(raw, str) and extra.get("size"):
        size = parse_size(raw)
        return raw if size is None else size
    if isinstance(raw, str) and extra.get("share"):
        share = parse_share(raw)
        return raw if share is None else share
    if isinstance(raw, str) and extra.get("path") and raw.startswith("~"):
        return _expanded(raw)
    return raw


def _expanded(text: str) -> str:
    try:
        return str(Path(text).expanduser())
    except RuntimeError:  # no such user, no home: the path is taken as it is
        return text
