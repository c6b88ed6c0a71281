"""Command line: standard output as it is here: a terminal of some width, or none."""

import sys
from collections.abc import Callable
from io import TextIOWrapper

from rich.console import Console, RenderableType

from caption_flow.cli.grid import BEYOND


def console_here() -> Console:
    """Give standard output; what it has no letters for is spelled out."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = BEYOND
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
