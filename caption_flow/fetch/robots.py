"""Fetch: images whose server says that no model may have them."""

from caption_flow.fetch.answers import Answer

_REFUSALS = frozenset({"noai", "noimageai"})
_US = frozenset({"", "*", "caption-flow"})  # to whom a rule may be addressed


def refused(answer: Answer) -> str:
    """Find the rule that keeps us from using it; empty where there is none."""
    addressed = ""
    for part in answer.get("x-robots-tag").lower().split(","):
        agent, colon, rule = part.rpartition(":")
        if colon:
            addressed = agent.strip()
        if rule.strip() in _REFUSALS and addressed in _US:
            return rule.strip()
    return ""
