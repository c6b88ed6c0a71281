"""What is looked at in a caption before it is kept, and what happens to one that fails."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from caption_flow.config.sampling import SamplingChange
from caption_flow.config.values import Count, Settings, Text

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
    retries: Annotated[int, Meta(ge=0)] = 1  # second tries
    # Of the second tries, in order; the last goes for all that follow.
    retry_sampling: tuple[SamplingChange, ...] = ()
    retry_prompt: Text | None = None  # of the second tries, in the first one's stead
    then: Literal["keep", "flag", "reject"] = "flag"
