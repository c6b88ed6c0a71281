"""Engine: names that the installed vLLM does not know are told, not passed over."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from caption_flow.errors import ConfigError


def refuse_unknown(path: str, given: Iterable[str], known: Collection[str], kind: str) -> None:
    """Raise ConfigError with a line for each name that is not known, and the nearest that is."""
    lines = []
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            lines.append(f"{path}.{key} is not {kind}{hint}")
    if lines:
        raise ConfigError("\n".join(lines))
