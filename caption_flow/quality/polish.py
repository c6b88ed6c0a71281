"""Quality: what is done to a caption that is kept, by the names that settings have for it.

Each step done twice is as done once, and so are any of them one after the other, so that a
caption which is polished already stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from caption_flow.config.quality import Polish
from caption_flow.quality.openings import without_openings

# Of all scripts: Latin, Chinese, half-width and full-width, Hindi, Urdu, Arabic, Armenian, Amharic,
# Burmese, Khmer, Tibetan.
_STOPS = tuple(".!?…‽⁇⁈⁉。｡\uff0e\uff01\uff1f।॥۔؟։።፧။។།")
_CLOSING = "\"'”’»›)]}*_`」』）】》"
_SOFT = ",;:-–—、\uff0c\uff1b\uff1a"  # after which more was to come
_CHINESE_OR_JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def polished(text: str, steps: Iterable[Polish]) -> str:
    """Do these steps one after the other."""
    for step in steps:
        text = _STEPS[step](text)
    return text


def _with_full_stop(text: str) -> str:
    """End with a full stop, unless it ends with one or its like, be it within quotation marks."""
    if not any(char.isalnum() for char in text):
        return text
    end = len(text)
    while text[end - 1] in _SOFT or text[end - 1].isspace():
        end -= 1
    said = text[:end]
    words = said.rstrip(_CLOSING)
    if words.endswith(_STOPS):
        return said
    return said + ("。" if _CHINESE_OR_JAPANESE.match(words[-1:]) else ".")


def _collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


_STEPS: Final[Mapping[Polish, Callable[[str], str]]] = {
    "strip_openings": without_openings,
    "trim": str.strip,
    "collapse_whitespace": _collapsed,
    "full_stop": _with_full_stop,
}
