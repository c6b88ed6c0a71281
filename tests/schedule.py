"""How pytest-xdist shares out the tests among its processes.

A file stays in one process, since its tests share what they look at. All that load vLLM are in one
process, one after the other: each keeps a core busy, and leaves the other to tests that mostly
wait. What takes long begins first, so that all processes end at about the same time.
"""

from xdist.scheduler import LoadFileScheduling

VLLM = "/test_vllm"
LONGEST_FIRST = (VLLM, "/chaos/", "/e2e/", "/cli/", "/sink/", "/queue/")


class Schedule(LoadFileScheduling):
    """Files in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return VLLM if VLLM in nodeid else super()._split_scope(nodeid)


def rank(nodeid: str) -> int:
    """The place of a test's kind among those that take long."""
    kinds = [place for place, kind in enumerate(LONGEST_FIRST) if kind in nodeid]
    return min(kinds, default=len(LONGEST_FIRST))
