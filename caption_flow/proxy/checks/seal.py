"""Proxy: entries as clients of it see them, where some of their samples are not of the job. No I/O.

Ids of a stream tell what came after what, and an id between them would stand out. Sealed with a key
that all proxies of the job share, each id looks like any other, and means the same to each proxy.
"""

import hashlib
import secrets

from caption_flow.model import EntryId

KEY_BYTES = 32

_HALF = 64  # bits: of the milliseconds of an id, and of its sequence number
_ROUNDS = 4  # as many make a Feistel network of pseudorandom functions a permutation like any other


class Seal:
    """Closes ids and opens them; both are entry ids in form."""

    def __init__(self, key: bytes) -> None:
        self._mixers = [
            hashlib.blake2b(bytes([number]), key=key, digest_size=_HALF // 8)
            for number in range(_ROUNDS)
        ]

    def close(self, entry: EntryId) -> EntryId:
        """Make of an id what clients see."""
        left, right = map(int, entry.split("-"))
        for number in range(_ROUNDS):
            left, right = right, left ^ self._mix(number, right)
        return f"{left}-{right}"

    def open(self, entry: EntryId) -> EntryId:
        """Find the id of what a client saw."""
        left, right = (int(half) % (1 << _HALF) for half in entry.split("-"))
        for number in reversed(range(_ROUNDS)):
            left, right = right ^ self._mix(number, left), left
        return f"{left}-{right}"

    def _mix(self, number: int, half: int) -> int:
        mixer = self._mixers[number].copy()
        mixer.update(half.to_bytes(_HALF // 8))
        return int.from_bytes(mixer.digest())


def blank() -> EntryId:
    """Make an id that no entry has, and that cannot be told from sealed ones."""
    return f"{secrets.randbits(_HALF)}-{secrets.randbits(_HALF)}"
