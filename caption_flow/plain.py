"""Text of strangers, spelled so that it stays text wherever it is shown."""

import re

_PUNCTUATION = re.compile(r"[!-,./:-@\[-`{-~]")  # of ASCII, but for the hyphen


def printable(text: str) -> str:
    """Escape what a terminal would take for a command, or could not show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def in_markdown(text: str) -> str:
    """Spell a text so that no Markdown, HTML or link is made of it."""
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", printable(text))
