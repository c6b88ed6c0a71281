"""A document on its way from older and other names to today's."""

from typing import Any, TypeAlias

from msgspec import Struct

from caption_flow.config.words import Mistake, Steps

Tree: TypeAlias = dict[Any, Any]


class Modern(Struct, frozen=True):
    """A document in today's names, and what there is to say about the way there."""

    tree: Tree
    warnings: list[tuple[Steps, str]]  # where, and the rest of the sentence
    mistakes: list[Mistake]
    written: dict[Steps, Steps]  # today's place -> the place in the document
