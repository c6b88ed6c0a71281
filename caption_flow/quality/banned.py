"""Quality: words that must not stand in a caption, whatever their case and wherever they stand."""

from functools import lru_cache
from unicodedata import category, normalize

# Writing without spaces between words: Thai and Lao, Burmese, Khmer, kana, Chinese characters.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

# Apostrophes and hyphens as they are typed; what nobody sees within a word is left out.
_ALIKE = str.maketrans("\u2019\u02bc\u2018\u2010", "'''-", "\u00ad\u200b\u200c\u2060\ufeff")


def has_banned(text: str, banned: tuple[str, ...]) -> bool:
    """Tell whether one of these words or phrases stands in a text, as a whole."""
    folded = _folded(text)
    return any(_stands_in(word, folded) for word in _folded_all(banned))


@lru_cache(maxsize=64)
def _folded_all(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(None, map(_folded, words)))


def _folded(text: str) -> str:
    """Spell what reads alike alike: case, width, composed letters, white space, apostrophes."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_ALIKE).split())


def _stands_in(word: str, text: str) -> bool:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if not (_joined(text, start) or _joined(text, end)):
            return True
        start = text.find(word, start + 1)
    return False


def _joined(text: str, place: int) -> bool:
    """Tell whether a word goes on across this place."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    return _in_word(before) and _in_word(after) and not (_unspaced(before) or _unspaced(after))


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_" or category(char)[0] == "M"


def _unspaced(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _UNSPACED)
