"""Screen: what a terminal sends, as names of keys."""

import re

_NAMED = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1b[7~": "home",
    b"\x1b[8~": "end",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[Z": "back tab",
    b"\x1b": "escape",
    b"\t": "tab",
    b"\r": "enter",
    b"\n": "enter",
    b"\x02": "page up",  # Ctrl-B and the next as in `less`
    b"\x06": "page down",
    b"\x04": "q",  # Ctrl-D
    b"\x0c": "redraw",  # Ctrl-L
}
# A sequence is taken whole, also one that means nothing to us: its letters are no keys.
_KEY = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # as arrows are sent
    rb"|\x1bO[@-~]"  # as arrows are sent to some programs
    rb"|\x1b[^\x1b\[O]"  # with Alt
    rb"|[\xc2-\xf4][\x80-\xbf]+"  # a letter beyond ASCII
    rb"|[^\x1b]",
    re.DOTALL,
)
_LONGEST = 32  # bytes of a sequence; what is longer is none


class Keys:
    """Names keys; what comes in pieces is put together."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, sent: bytes) -> list[str]:
        """Name the keys that are whole now."""
        self._begun += sent
        found = []
        while match := _KEY.match(self._begun):
            self._begun = self._begun[match.end() :]
            found.append(match.group())
        if len(self._begun) > _LONGEST:
            self._begun = b""
        return [name for name in map(_name, found) if name]

    @property
    def pending(self) -> bool:
        """Whether a sequence has begun: or it is the escape key alone."""
        return bool(self._begun)

    def flush(self) -> list[str]:
        """Name what has begun and does not go on."""
        begun, self._begun = self._begun, b""
        return ["escape"] if begun == b"\x1b" else []


def _name(key: bytes) -> str:
    if key.startswith(b"\x1bO"):
        key = b"\x1b[" + key[2:]
    if key in _NAMED:
        return _NAMED[key]
    return key.decode() if len(key) == 1 and 0x20 <= key[0] < 0x7F else ""  # noqa: PLR2004 - ASCII
