"""Quality: the checks by their names, as settings spell them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from caption_flow.config.quality import Check, Checked
from caption_flow.quality.banned import has_banned
from caption_flow.quality.echo import is_echo
from caption_flow.quality.language import is_foreign
from caption_flow.quality.length import is_empty, is_too_long, is_too_short
from caption_flow.quality.refusal import is_refusal
from caption_flow.quality.repetition import is_repetition


class Said(Struct, frozen=True):
    """What a model said to a prompt, letter by letter."""

    text: str
    finish_reason: str  # as the engine spells it: "stop", "length", "repetition", …
    prompt: str


def failing(checks: Iterable[Check], said: Said) -> tuple[Check, ...]:
    """Return the checks that fail, in their order."""
    return tuple(check for check in checks if _FAILS[check.check](check, said))


_FAILS: Final[Mapping[Checked, Callable[[Check, Said], bool]]] = {
    "empty": lambda _, said: is_empty(said.text),
    "too_short": lambda check, said: is_too_short(said.text, check.words, check.characters),
    "too_long": lambda check, said: is_too_long(said.text, check.words, check.characters),
    "cut_off": lambda _, said: said.finish_reason == "length",
    "refusal": lambda _, said: is_refusal(said.text),
    # vLLM stops a loop itself where repetition_detection is on, and says so.
    "repetition": lambda _, said: said.finish_reason == "repetition" or is_repetition(said.text),
    "echo": lambda _, said: is_echo(said.text, said.prompt),
    "banned_words": lambda check, said: has_banned(said.text, check.banned),
    "language": lambda check, said: is_foreign(said.text, check.languages),
}
