"""Gallery: what a person types becomes a question to the index, whatever it is.

Words must all be there; "several words" as they stand; a star at the end stands for any ending, as
does the end of what is typed, where a word may be just begun; a minus before a word means rows
without it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from caption_flow.dataset.gallery.scripts import spaced

COLUMNS = ("said", "about")  # of the index, in which words are looked for
FACETS = "facets"  # its other column
EVERY = "every"  # a facet that all rows have

_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_SPOKEN = re.compile(r"[^\W_]")  # what has nothing of that is no word to the index
_BEGUN = 2  # letters of a word that may be just begun; fewer would mean too much
_MOST_TERMS = 32
_LONGEST = 1000  # characters


def question(typed: str, facets: Sequence[str]) -> str:
    """Ask for rows by words and by facets, in the language of FTS5; empty: all rows are meant."""
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, term in _terms(typed):
        (unwanted if minus else wanted).append(term)
    if not (wanted or unwanted or facets):
        return ""
    asked = [f"{FACETS} : {_quoted(facet)}" for facet in facets]
    if wanted:
        asked.append(f"{{{' '.join(COLUMNS)}}} : ({' AND '.join(wanted)})")
    found = " AND ".join(asked or [f"{FACETS} : {EVERY}"])
    if not unwanted:
        return found
    return f"({found}) NOT {{{' '.join(COLUMNS)}}} : ({' OR '.join(unwanted)})"


def _terms(typed: str) -> Iterator[tuple[bool, str]]:
    text = typed.replace("\0", " ")[:_LONGEST]
    for found in islice(_TERM.finditer(text), _MOST_TERMS):
        minus, phrase, word = found.groups()
        if phrase is not None:
            term, open_ = phrase, False
        else:
            term = word.rstrip("*")
            open_ = term != word or (found.end() == len(text) and len(term) >= _BEGUN)
        if _SPOKEN.search(term):
            yield bool(minus), _quoted(spaced(term)) + ("*" if open_ else "")


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'
