"""Gallery: writing that puts no space between words, as of Chinese, Japanese, Thai.

SQLite would take a whole sentence as one word, of which only the beginning is found. So each letter
becomes a word, here and in what is typed, where letters that follow one another are a phrase.
"""

import re

_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese, also in Japanese
    "\U0001b000-\U0001b16f\U00020000-\U000323af"  # more of both
    "]"
)


def spaced(text: str) -> str:
    """Put spaces around each letter of such writing."""
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", text)
