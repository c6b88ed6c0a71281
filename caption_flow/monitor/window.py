"""Monitor: which lines of a list are seen, and which of them is the chosen one."""

from collections.abc import Hashable, Sequence


class Window:
    """A view on a list that changes from look to look.

    The chosen line is followed to wherever it goes; but the top stays the top, so that what is new
    is seen there.
    """

    def __init__(self) -> None:
        self._chosen: Hashable | None = None  # None: the first, whichever that is
        self._at = 0  # where the chosen line was
        self._top = 0  # the first line that is seen
        self._steps = 0  # to go at the next look
        self._height = 1

    def move(self, lines: int) -> None:
        """Go down so many lines; up if negative."""
        self._steps += lines

    def page(self, pages: int) -> None:
        """Go down so many pages; up if negative."""
        self.move(pages * max(1, self._height - 1))

    def look(self, keys: Sequence[Hashable], height: int) -> tuple[int, int]:
        """Tell which of the lines is the first that is seen, and which is the chosen one."""
        self._height = max(1, height)
        steps, self._steps = self._steps, 0
        at = self._whereabouts(keys) + steps
        at = max(0, min(len(keys) - 1, at))
        self._at = at
        # Who goes to the top wants what is new there; what gets there by itself is followed on.
        stays = at > 0 or (self._chosen is not None and not steps)
        self._chosen = keys[at] if stays and keys else None
        lowest = max(0, len(keys) - self._height)
        self._top = max(0, min(lowest, max(at - self._height + 1, min(self._top, at))))
        return self._top, at

    def _whereabouts(self, keys: Sequence[Hashable]) -> int:
        if self._chosen is None:
            return 0
        # What is gone leaves its place to the next.
        return keys.index(self._chosen) if self._chosen in keys else self._at
