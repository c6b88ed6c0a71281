"""Queue, embedded: the append-only file after a crash that cut it within a transaction.

The server passes over such an end, but leaves the beginning of the transaction there: what is
appended next would belong to it at the start after this one, and be thrown away or done by halves.
"""

import subprocess
from pathlib import Path

from caption_flow.queue.binaries import ServerBinary

_DAMAGED = b"format error"  # not cut but spoilt: the server says so, and its owner must decide


def mend_aof(directory: Path, binary: ServerBinary) -> None:
    """Take a torn transaction off the end of the AOF; before the server is started."""
    for manifest in directory.glob("appendonlydir/*.manifest"):
        found = _check(binary, manifest)
        if found.returncode != 0 and _DAMAGED not in found.stdout:
            _check(binary, "--fix", manifest)


def _check(binary: ServerBinary, *arguments: Path | str) -> "subprocess.CompletedProcess[bytes]":
    # The server is also the program that checks its files, where it is called by that name.
    words = [f"{binary.flavour}-check-aof", *map(str, arguments)]
    return subprocess.run(  # noqa: S603 - the program was examined
        words, executable=binary.path, input=b"y\n", capture_output=True, check=False
    )
