"""A kind of source that only knows what it was told."""

from importlib.metadata import EntryPoint

from caption_flow.dataset.source import GROUP, SourceOptions


class EchoSource:
    """Lists nothing."""

    dataset = "echo"

    def __init__(self, options: SourceOptions) -> None:
        self.options = options


def echoing(group: str) -> list[EntryPoint]:
    """Say that it is the one kind that is installed."""
    return [EntryPoint("echo", f"{__name__}:EchoSource", group)] if group == GROUP else []
