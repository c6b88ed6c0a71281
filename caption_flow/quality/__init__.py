"""Quality: what is wrong with a caption, and how one is polished.

Pure and without I/O: texts come from models, so nothing here raises on any of them, and all of it
takes a time that is linear in their length.
"""

from caption_flow.quality.checks import Said, failing
from caption_flow.quality.language import ready
from caption_flow.quality.polish import polished

__all__ = ["Said", "failing", "polished", "ready"]
