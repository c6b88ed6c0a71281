"""Encoded images in, facts and pixels out.

Every byte here comes from strangers. The feeder asks for facts, which cost a header, and may
shrink an image before it enters the queue; the worker asks for pixels. Whatever is wrong with an
image is a BadImage with a reason that stays the same from release to release.
"""

from caption_flow.image.facts import ImageFacts, inspect, is_upright
from caption_flow.image.fit import fit
from caption_flow.image.pixels import decode
from caption_flow.image.shrink import shrink

__all__ = ["ImageFacts", "decode", "fit", "inspect", "is_upright", "shrink"]
