"""Data set: the finished parts of a job as one long list to page through, search and filter.

Parts come, are rewritten and go while somebody looks; nothing here changes them. The list itself
needs nothing but their footers. What is searched stands in an index beside it, in a cache of the
person who looks, which can be deleted at any time.
"""

from caption_flow.dataset.gallery.gallery import Ask, Choice, Gallery, Page, State
from caption_flow.dataset.gallery.rows import Row

__all__ = ["Ask", "Choice", "Gallery", "Page", "Row", "State"]
