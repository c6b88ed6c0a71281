"""Command line: how `try` shows an image, and what the stages made of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TextIO

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from caption_flow.cli.showing import console_here
from caption_flow.config.broadcast import Broadcast
from caption_flow.plain import printable
from caption_flow.preview.told import Passage, Shown, Summary, Told


class Showing(Protocol):
    """Shows what was tried. Settings have labels: the first is A."""

    def begin(self, settings: Mapping[str, Broadcast]) -> None:
        """Say what is tried."""
        ...

    def show(self, label: str, shown: Shown) -> None:
        """Show what one setting made of one image; images come in order, settings likewise."""
        ...

    def end(self, sums: Mapping[str, Summary]) -> None:
        """Say what was done."""
        ...


class Report:
    """One setting, image by image, as soon as each is done."""

    def __init__(self, out: TextIO) -> None:
        self._console = console_here(out)

    def begin(self, settings: Mapping[str, Broadcast]) -> None:
        """Nothing: the stages come with what they made."""

    def show(self, label: str, shown: Shown) -> None:  # noqa: ARG002 - there is one
        """Show one image."""
        self._print(heading(shown))
        for passage in shown.passages:
            self._print(_stage(passage))
            for told in passage.told:
                self._print(_in_full(told))
        if shown.failure is not None:
            self._print(failure(shown))
        self._print("")

    def end(self, sums: Mapping[str, Summary]) -> None:
        """Sum up."""
        for summary in sums.values():
            self._print(summed_up(summary))

    def _print(self, what: RenderableType) -> None:
        with self._console.capture() as captured:
            self._console.print(what)
        text = captured.get()
        if not self._console.is_terminal:  # where cells are filled up to any width
            text = "\n".join(line.rstrip() for line in text.split("\n"))
        self._console.file.write(text)


def heading(shown: Shown) -> Text:
    """Name an image, and say how it is shown to the models."""
    sample = shown.sample
    size = f"  {sample.width} x {sample.height} {sample.format}" if sample.width else ""
    return Text(printable(sample.source), style="bold").append(size, style="dim")


def failure(shown: Shown) -> Text:
    """Say why an image would be given up."""
    why = shown.failure
    if why is None:
        return Text()
    where = f" in the stage {shown.stage}" if shown.stage else ""
    said = f"fails{where}: {why.reason}, {why.detail}"
    again = "; a run would try again" if why.again else ""
    return shown_text(said + again, style="red")


def shown_text(text: str, *, style: str = "") -> Text:
    """Give a text of strangers to a terminal, line by line, with nothing that it would obey."""
    return Text("\n".join(map(printable, text.split("\n"))), style=style)


def cost(told: Told) -> str:
    """Say what a caption took."""
    kept, times = told.kept, len(told.tries)
    tokens = f"{told.prompt_tokens:,} + {told.output_tokens:,} tokens"
    tries = f", {times} tries" if times > 1 else ""
    return f"{tokens}, {told.seconds:.2f} s, {kept.finish_reason}{tries}"


def summed_up(summary: Summary) -> Text:
    """Say in one line what was done."""
    failed = f" ({summary.failed:,} failed)" if summary.failed else ""
    images = _counted(summary.images + summary.failed, "image")
    rate = summary.output_tokens / summary.seconds if summary.seconds > 0 else 0.0
    return Text(
        f"{images}{failed}, {_counted(summary.captions, 'caption')}, "
        f"{rate:,.0f} tokens per second, {summary.loading:.1f} s to load."
    )


def answer(told: Told) -> Iterator[tuple[str, RenderableType]]:
    """Yield what is kept of all that was said, by what it is."""
    raw = told.kept.text
    if told.answer is None:
        yield "said", shown_text(raw)
        return
    yield "caption", shown_text(told.answer.text)
    if told.answer.text != raw:
        yield "before polish", shown_text(raw, style="dim")
    if told.answer.fields:
        yield "fields", _fields(told.answer.fields)
    if told.answer.flags:
        yield "flags", shown_text(", ".join(told.answer.flags), style="yellow")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _stage(passage: Passage) -> Text:
    stage = passage.stage
    seen = "" if stage.image else ", without the image"
    return shown_text(f"  {stage.name} → {stage.output_field}{seen}", style="cyan")


def _in_full(told: Told) -> Table:
    grid = Table.grid(padding=(0, 2), pad_edge=True)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if told.kept.system_prompt:
        grid.add_row("  system", shown_text(told.kept.system_prompt))
    grid.add_row("  prompt", shown_text(told.kept.prompt))
    for number, one in enumerate(told.tries, start=1):
        if one is not told.kept:
            grid.add_row(f"  try {number}", shown_text(one.text, style="dim"))
    for name, value in answer(told):
        grid.add_row(f"  {name}", value)
    grid.add_row("", Text(cost(told), style="dim"))
    return grid


def _fields(fields: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, pad_edge=False)
    for name, value in fields.items():
        spelt = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        table.add_row(shown_text(name), shown_text(spelt))
    return table
