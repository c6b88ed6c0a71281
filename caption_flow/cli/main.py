"""Command line, the way in: finds the command, and turns errors into sentences and exit codes.

Commands are imported when they are called, so that `--help` does not wait for Arrow or Redis.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

import click

from caption_flow import __version__
from caption_flow.cli import saying
from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import leave_on_signals
from caption_flow.patience import Interrupted

EXIT_FAILED = 1

# name -> what it does; the module of the same name holds the command, mostly
COMMANDS = {
    "try": "Caption a few images at once, and show what a run would write.",
    "bench": "Measure how fast captions are made here, what limits that, and what they cost.",
    "run": "Caption a data set with everything on this machine.",
    "feed": "Put a data set's images into the queue.",
    "worker": "Caption images from the queue with one engine.",
    "sink": "Write captions to Parquet.",
    "proxy": "Let contributors in from anywhere.",
    "orchestrator": "Feed a data set and write its captions; workers join by themselves.",
    "reload_config": "Change prompts, sampling and other settings of a job that runs.",
    "pause": "Let a job rest, with everything where it is.",
    "resume": "Let a job go on that was paused.",
    "drain": "Let one worker end cleanly, wherever it runs.",
    "generate_cert": "Make a certificate for a proxy, or get one from Let's Encrypt.",
    "inspect_cert": "Show a certificate, and whether it fits its key and its host.",
    "dead": "Look at samples that were given up; retry or drop them.",
    "auth": "Say who may come in through the proxy: make, add, remove and list tokens.",
    "status": "Show how a job stands, once.",
    "monitor": "Show how a job stands, live and on the whole screen.",
    "view": "Look through finished captions and their images.",
    "export": "Write captions in the formats that people train from.",
    "compact": "Merge small parts into large ones, while the job runs or after it.",
    "contributors": "See who captioned how much; take back what somebody made.",
    "doctor": "Look for what may go wrong here, and say what to do about it.",
    "scan_chunks": "Check that each sample is in one place, and feed again what is missing.",
}


# Those that serve a job until they are stopped; and how one ends that is stopped before it began.
ROLES = {"run": 1, "feed": 0, "worker": 0, "sink": 0, "orchestrator": 0, "proxy": 0}

# Commands whose name no module can have: Python reads it as a word of its own.
_MODULES = {"try": "try_images"}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands, in the order of a job."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; one that serves a job may be stopped from here on."""
        if (code := ROLES.get(args[0].replace("-", "_"))) is not None:
            leave_on_signals(code)
        with _lasting():
            return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; underscores and hyphens are the same."""
        name = cmd_name.replace("-", "_")
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(
            f"caption_flow.cli.{_MODULES.get(name, name)}"
        ).command
        # Options of two words may be joined either way, too.
        command.context_settings.setdefault("token_normalize_func", _hyphenated)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@contextmanager
def _lasting() -> Iterator[None]:
    """Keep the collector away from what stays: it would go through all modules, at the end too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _hyphenated(word: str) -> str:
    return word.replace("_", "-")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caption-flow")
def cli() -> None:
    """Caption images at any scale: feeders, vLLM workers and sinks around Redis Streams."""


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or configuration."""
    verbose = "--verbose" in sys.argv
    try:
        result = cli(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("Stopped.", EXIT_FAILED)
    except Interrupted as exc:  # asked to end, and nothing went wrong
        saying.say(str(exc))
        sys.exit(exc.exit_code)
    except CaptionFlowError as exc:
        if verbose:
            raise
        _fail(str(exc), exc.exit_code)
    except Exception as exc:  # the one place that owes the user a sentence for a mistake of ours
        if verbose:
            raise
        kind = type(exc).__name__
        _fail(f"{kind}: {exc}\nThis should not happen; --verbose shows where.", EXIT_FAILED)


def _fail(sentence: str, code: int) -> NoReturn:
    saying.fail(sentence)
    sys.exit(code)
