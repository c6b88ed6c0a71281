"""Quality: texts with nothing in them, too little or too much."""


def is_empty(text: str) -> bool:
    """Tell whether there is neither a letter nor a digit."""
    return not any(char.isalnum() for char in text)


def is_too_short(text: str, words: int | None, characters: int | None) -> bool:
    """Tell whether a text falls short of either bound."""
    few_words = words is not None and len(text.split()) < words
    return few_words or (characters is not None and len(text.strip()) < characters)


def is_too_long(text: str, words: int | None, characters: int | None) -> bool:
    """Tell whether a text goes beyond either bound."""
    many_words = words is not None and len(text.split()) > words
    return many_words or (characters is not None and len(text.strip()) > characters)
