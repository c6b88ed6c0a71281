"""What is looked at in a caption before it is kept, and what happens to one that fails."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from caption_flow.config.sampling import SamplingChange
from caption_flow.config.values import Count, Settings, Text, refuse
from caption_flow.config.words import repeated, shown

Checked: TypeAlias = Literal[
    "empty",
    "too_short",
    "too_long",
    "cut_off",
    "refusal",
    "repetition",
    "echo",
    "banned_words",
    "language",
]
Polish: TypeAlias = Literal["strip_openings", "trim", "collapse_whitespace", "full_stop"]


class Check(Settings, frozen=True):
    """One check with its ladder of second tries, and what becomes of a caption after the last."""

    check: Checked
    words: Count | None = None  # too_short, too_long: the bound
    characters: Count | None = None  # likewise
    banned: tuple[Text, ...] = ()  # banned_words: whole words or phrases, in any case
    languages: tuple[Text, ...] = ()  # language: the ones allowed, as ISO 639-1 codes
    retries: Annotated[int, Meta(ge=0, le=100)] = 1  # second tries
    # Of the second tries, in order; the last goes for all that follow.
    retry_sampling: tuple[SamplingChange, ...] = ()
    retry_prompt: Text | None = None  # of the second tries, in the first one's stead
    then: Literal["keep", "flag", "reject"] = "flag"

    def __post_init__(self) -> None:
        refuse([*self._foreign(), *self._missing(), *self._unreadable(), *self._never_tried()])

    def _foreign(self) -> Iterator[str]:
        for name, owners in _OWNERS.items():
            if getattr(self, name) and self.check not in owners:
                yield f'{name} is for {" and ".join(owners)}, not for "{self.check}"'

    def _missing(self) -> Iterator[str]:
        needed = [name for name, owners in _OWNERS.items() if self.check in owners]
        if needed and not any(getattr(self, name) for name in needed):
            yield f'check is "{self.check}", which needs {" or ".join(needed)}'

    def _unreadable(self) -> Iterator[str]:
        for word in self.banned:
            if not word.strip():
                yield "banned holds a text of nothing but white space"
        for code in self.languages:
            if not _CODE.fullmatch(code):
                yield f"languages holds {shown(code)}; expected ISO 639 codes in lower case, as en"

    def _never_tried(self) -> Iterator[str]:
        for name in ("retry_sampling", "retry_prompt"):
            if getattr(self, name) and not self.retries:
                yield f"{name} is never used, as retries is 0"
        if len(self.retry_sampling) > self.retries > 0:
            rungs = len(self.retry_sampling)
            yield f"retry_sampling has {rungs} items, but retries is {self.retries}"
        if self.then == "keep" and not self.retries:
            yield 'then is "keep", and retries is 0: the check does nothing'


# The checks that each parameter is for.
_OWNERS: Final[Mapping[str, tuple[Checked, ...]]] = {
    "words": ("too_short", "too_long"),
    "characters": ("too_short", "too_long"),
    "banned": ("banned_words",),
    "languages": ("language",),
}
_CODE = re.compile(r"[a-z]{2,3}")


def unfit(checks: Sequence[Check], steps: Sequence[Polish]) -> Iterator[str]:
    """Say which checks and steps of a stage cannot stand beside one another."""
    yield from repeated([check.check for check in checks], "quality[{}].check")
    yield from repeated(steps, "postprocess[{}]")
    for unit in ("words", "characters"):
        yield from _impossible(checks, unit)


def _impossible(checks: Sequence[Check], unit: str) -> Iterator[str]:
    """Say so where a text that is long enough is too long."""
    bounds = {check.check: (n, getattr(check, unit)) for n, check in enumerate(checks)}
    short, low = bounds.get("too_short", (0, None))
    long, high = bounds.get("too_long", (0, None))
    if low and high and low > high:
        yield f"quality[{long}].{unit} is {high}, and quality[{short}].{unit} {low}: no text passes"
