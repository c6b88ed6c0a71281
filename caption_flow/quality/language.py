"""Quality: captions in another language than those that are wanted.

The library is an extra, and its model takes two seconds and 120 MB: both are for those who use
the check, and are seen to before the first sample.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from caption_flow.config.quality import Check
from caption_flow.errors import ConfigError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Chosen on 106 captions of 3 to 60 words in 24 languages: none in a wanted one failed.
_SURE = 0.5  # probability of the likeliest language, from which on a text can be judged
_UNLIKELY = 0.01  # of all wanted ones together, below which they are ruled out
_ENOUGH = 5000  # characters that are looked at
_NO_LANGUAGE = "zxx"  # numbers, file names, markup


def ready(checks: Iterable[Check]) -> None:
    """Load what these checks need; ConfigError where it is missing or does not know a language."""
    wanted = [check.languages for check in checks if check.check == "language"]
    mistakes = [line for languages in wanted for line in _unknown(languages)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def is_foreign(text: str, languages: tuple[str, ...]) -> bool:
    """Tell whether a text is surely in none of these; a text that cannot be judged is not."""
    ranked: list[tuple[str, float]] = _identifier().rank(text[:_ENOUGH])
    best, probability = ranked[0]
    if best == _NO_LANGUAGE or probability < _SURE:
        return False
    return sum(share for language, share in ranked if language in languages) < _UNLIKELY


def _unknown(languages: Iterable[str]) -> Iterator[str]:
    known = _identifier().labels
    for language in languages:
        if language not in known:
            alike = sorted(code for code in known if code[0] == language[0])
            yield (
                f'The check "language" does not know "{language}"; of the codes with '
                f'"{language[0]}" it knows {", ".join(alike) or "none"}'
            )


@cache
def _identifier() -> "LanguageIdentifier":
    try:
        from py3langid.langid import (  # noqa: PLC0415 - an extra, and slow to load
            MODEL_FILE,
            LanguageIdentifier,
        )
    except ImportError as exc:
        raise ConfigError(
            'The check "language" needs the package py3langid: '
            'install "caption-flow[language]" on the workers.'
        ) from exc
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
