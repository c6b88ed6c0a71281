"""Queue, embedded: runs a program that ends with its parent. Linux only, and run as a script:

    python leash.py PARENT PROGRAM ARGUMENT…

A script and not a hook in the child of a fork, which is unsafe where threads run.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, command: list[str]) -> None:
    """Ask the kernel for SIGTERM at the parent's death, then become the program."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we asked
        sys.exit("The parent is gone; nothing was started.")
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
