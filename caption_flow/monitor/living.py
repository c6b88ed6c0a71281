"""Monitor: which processes are counted on, by their last words."""

from caption_flow.queue.ports import Member, Snapshot

SILENT = 20.0  # seconds without a word, after which nobody counts on a process


def is_silent(member: Member, now: float) -> bool:
    """Whether nobody counts on it any more."""
    return now - member.seen >= SILENT


def live(snapshot: Snapshot) -> list[Member]:
    """Give the members that are counted on."""
    return [member for member in snapshot.members if not is_silent(member, snapshot.at)]
