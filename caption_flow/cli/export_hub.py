"""Command line: the options of `export` for a data set on the hub, and what is made of them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.bar import Bar
from caption_flow.cli.export_facts import Publishing, Told
from caption_flow.cli.saying import say
from caption_flow.export.export import Exporter
from caption_flow.export.hub.format import Upload
from caption_flow.export.hub.push import Progress

F = TypeVar("F", bound=Callable[..., Any])

_UNASKED = (
    "Contributors are not named, since nobody could be asked who of them wants to be: "
    "give --redis, or the document of the job."
)


class Hub(Struct, frozen=True):
    """What the user says of a data set on the hub."""

    repo: str | None
    private: bool
    said: Publishing

    def upload(self, told: Told, exporter: Exporter, bar: Bar, *, overwrite: bool) -> Upload:
        """Lay an upload out; --hf-dataset must be given."""
        if self.repo is None:
            raise click.UsageError(
                "--format huggingface_hub needs --hf-dataset USER/NAME, which is made if need be."
            )
        told.check()
        if told.named is None:
            say(_UNASKED)
        return Upload(
            self.repo,
            self.private,
            told.nameable(),
            lambda summary: replace(
                told.facts(summary, self.said),
                fields=exporter.exported.shape.fields,
                how=exporter.wish.how,
            ),
            lambda progress: _show(bar, progress),
            exporter.summary,
            overwrite,
        )


def hub_options(function: F) -> F:
    """Add the options; the command gets them as `hub`."""

    @wraps(function)
    def with_hub(
        hf_dataset: str | None,
        private: bool,
        nsfw: bool,
        no_prompts: bool,
        licence: str,
        tags: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        listed = tuple(one.strip() for tag in tags for one in tag.split(",") if one.strip())
        said = Publishing(licence, listed, nsfw, not no_prompts)
        return function(hub=Hub(hf_dataset, private, said), **rest)

    command: Any = with_hub
    for option in reversed(
        (
            click.option("--hf-dataset", metavar="USER/NAME", help="Data set on the hub."),
            click.option("--private", is_flag=True, help="Make it so that only you see it."),
            click.option("--nsfw", is_flag=True, help="Say that it is not for all audiences."),
            click.option(
                "--no-prompts", is_flag=True, help="Leave the texts of prompts out of its card."
            ),
            click.option(
                "--license", "licence", metavar="NAME", default="", help="As the hub has it."
            ),
            click.option(
                "--tags", metavar="TAGS", multiple=True, help="Further tags, with commas between."
            ),
        )
    ):
        command = option(command)
    return command  # type: ignore[no-any-return]


def _show(bar: Bar, progress: Progress) -> None:
    bar.show("uploading", progress.files, progress.of_files, f"{progress.bytes / 1e6:,.0f} MB")
