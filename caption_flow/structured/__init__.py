"""Answers of a form: whether a text has it, and the columns that it becomes."""

from caption_flow.structured.parse import parse

__all__ = ["parse"]
