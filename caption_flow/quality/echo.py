"""Quality: answers that say the prompt again instead of an answer to it."""

import re
from itertools import takewhile

_MOST = 0.7  # share of the prompt with which an echo begins
_LEAST = 12  # bytes of a prompt that is looked for: "Caption:" may begin a caption as well
_WORDS = re.compile(r"\w+")


def is_echo(text: str, prompt: str) -> bool:
    """Tell whether a text holds the prompt, or begins with most of it."""
    asked, said = _bare(prompt), _bare(text)
    if len(asked.encode("utf-8", "replace")) < _LEAST:
        return False
    return asked in said or _common(asked, said) >= _MOST * len(asked)


def _common(one: str, two: str) -> int:
    """Count the characters with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def _bare(text: str) -> str:
    """Leave out case and all between the words."""
    return " ".join(_WORDS.findall(text.casefold()))
