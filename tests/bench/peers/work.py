"""Bench: what every peer does with an image, so that all do the same. Needs only the library.

The caption is made as the simulated engine makes it, of the digest of the bytes; nothing waits.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

WORDS = ("quiet", "bright", "narrow", "old", "green", "round", "distant", "plain", "soft", "tall")


class Asked(NamedTuple):
    """What the bench wants of a peer."""

    folder: Path
    out: Path
    decode: bool
    begun: float  # when its libraries were there

    def ready(self) -> "Asked":
        """Begin the work now, after what the library had to start."""
        return self._replace(begun=time.monotonic())

    def tell(self, count: Callable[[], int], version: str) -> None:
        """Print the document; what is written is counted after the work."""
        seconds = round(time.monotonic() - self.begun, 3)
        told = {"captions": count(), "work_s": seconds, "version": version}
        print(json.dumps(told), flush=True)


def asked() -> Asked:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--decode", action="store_true")
    given = parser.parse_args()
    return Asked(given.folder, given.out, given.decode, time.monotonic())


def caption(data: bytes) -> str:
    """Say something true about the bytes."""
    return " ".join(("simulated caption", hashlib.sha256(data).hexdigest()[:32], *WORDS))
