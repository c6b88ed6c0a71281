"""Command line: a sentence on standard error: as it is, or as one of the lines of JSON there."""

import logging

import click

from caption_flow import logs

logger = logging.getLogger(__name__)


def say(sentence: str) -> None:
    """Say what is for people, though programs may read it too."""
    if logs.in_json():
        logger.info("%s", sentence)
    else:
        click.echo(sentence, err=True)


def fail(sentence: str) -> None:
    """Say what a process ends of; `supervisor.child` looks for it."""
    if logs.in_json():
        logger.critical("%s", sentence)
    else:
        click.echo(f"Error: {sentence}", err=True)


def warn(sentence: str) -> None:
    """Say what may be wrong."""
    if logs.in_json():
        logger.warning("%s", sentence)
    else:
        click.echo(f"Warning: {sentence}", err=True)
