"""Command line: standard output as it is here: a terminal of some width, or none."""

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console, RenderableType

BEYOND = 10_000  # columns, where there is no terminal: a line of output is a row


def console_here(out: TextIO | None = None, *, beyond: int = BEYOND) -> Console:
    """Give standard output, or what stands for it; what it has no letters for is spelled out.

    Where it is no terminal, it has `beyond` columns.
    """
    stream = out or sys.stdout
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    # Not by what rich takes for a terminal: variables of CI systems would make a pipe one.
    console = Console(file=out, highlight=False, force_terminal=None if stream.isatty() else False)
    if not console.is_terminal:
        console.width = beyond
    return console


def show(console: Console, made: Callable[[int], RenderableType]) -> None:
    """Print what is made for a width; where there is no terminal, a line of output is a row."""
    told = made(console.width)
    if console.is_terminal:
        console.print(told)
        return
    with console.capture() as written:
        console.print(told)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in written.get().splitlines())
