"""Quality: generic openings, which say of a picture only that it is one.

"The painting shows" or "The black and white photo shows" says more, and stays.
"""

import re
from typing import Final

_PICTURE = r"(?:image|picture|photo|photograph|pic|snapshot|scene)"
_THE = r"(?:this|the)\s+(?:(?:provided|given|attached|uploaded|above|displayed)\s+)?"
_WHICH = r"(?:\s+(?:provided|given|above|below|here))?"
_VERB = (
    r"(?:shows|depicts|displays|features|captures|presents|portrays|contains|illustrates"
    r"|showcases|is\s+showing|is\s+depicting|is\s+of)"
)
_SEE = r"(?:we|you|one)\s+(?:can\s+|may\s+)?(?:clearly\s+)?(?:see|observe|find|notice)"
_WAYS = (
    # This image shows …
    rf"{_THE}{_PICTURE}{_WHICH}\s+(?:[a-z]{{1,20}}ly\s+)?{_VERB}(?:\s+(?:us|you))?",
    # In this picture, we can see … In this picture, …
    rf"in\s+{_THE}{_PICTURE}{_WHICH}(?:\s*,)?\s+{_SEE}",
    rf"in\s+{_THE}{_PICTURE}{_WHICH}(?:\s*,|(?=\s+there\s))",
    rf"(?:here\s*,?\s+)?{_SEE}",
    # This is an image of … An image of …
    rf"(?:(?:this|it|here)\s+(?:is|appears\s+to\s+be|seems\s+to\s+be)\s+)?an?\s+{_PICTURE}\s+"
    r"(?:of|showing|depicting|featuring|capturing)",
)
# Words that cannot go without the verb before them: "shows how it is done", "you find yourself in".
_BOUND = (
    r"(?:how|why|whether|that|off|up|for|(?:my|your|her|him|it|one)self|(?:our|your|them)selves)"
)
# Then something that can begin a caption. Of the white space before it nothing is given back:
# two runs of it, one after the other, could be shared out in as many ways as they are long.
_OPENING: Final = re.compile(
    rf"(?:{'|'.join(_WAYS)})(?:\s+that)?(?:\s*[:,])?\s++(?!{_BOUND}\b)(?=[\"'“‘(\[*]?\w)",
    re.IGNORECASE,
)


def without_openings(text: str) -> str:
    """Leave openings out; a text that is nothing else stays."""
    start = begin = len(text) - len(text.lstrip())
    while opening := _OPENING.match(text, start):
        start = opening.end()
    if start == begin:
        return text
    rest = text[start:]
    return _capitalised(rest) if text[begin].isupper() else rest


def _capitalised(text: str) -> str:
    """Begin with a capital, but for names such as iPhone."""
    first, second = text[0], text[1:2]
    if second.isupper() or first.upper().lower() != first:
        return text
    return first.upper() + text[1:]
