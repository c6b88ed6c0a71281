"""Structured: a stranger's text in the few words of a reason."""

from caption_flow.config.words import shown

_LONGEST = 60  # characters that are worth a look


def seen(text: str) -> str:
    """Show the beginning of a text, without what could not be shown."""
    return shown("".join(c if c.isprintable() else "\ufffd" for c in text[: _LONGEST + 1]))
