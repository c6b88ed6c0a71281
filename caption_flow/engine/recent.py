"""Engine: what was made lately, so that it need not be made again."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by their keys, at most so many; the one that was wanted last longest ago goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}  # in the order in which they were wanted

    def get(self, key: K) -> V | None:
        """Return what was put under a key, if it is still there."""
        if key not in self._values:
            return None
        value = self._values[key] = self._values.pop(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Hold a value."""
        self._values[key] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]
