"""Source: what an earlier job captioned, with its captions as columns."""

from feeders.captions.source import CaptionsSource

__all__ = ["CaptionsSource"]
