"""Data sets of the Hugging Face kinds, on the hub or on this host."""

from feeders.huggingface.source import HuggingFaceSource

__all__ = ["HuggingFaceSource"]
