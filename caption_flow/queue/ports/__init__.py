"""Queue: what is asked of it, as protocols, a file for each who asks. What the roles ask is here.

What stands in `X.py` is implemented by queue/X.py with Redis, and elsewhere through a proxy.
Who claims holds a lease; who holds a lease may renew, complete, release or fail it. Methods raise
QueueUnreachable or QueueFull when the caller should wait and repeat the call: each may be
repeated, since every write is guarded.
"""

from caption_flow.queue.ports.captions import CaptionQueue
from caption_flow.queue.ports.dead import DeadLetters, LetterFilter, Letters
from caption_flow.queue.ports.feed import (
    Begun,
    Budget,
    FeedQueue,
    Offered,
    Planned,
    Room,
    Withdrawn,
)
from caption_flow.queue.ports.inspect import Inspector, Moment, Shard, Snapshot, Stream
from caption_flow.queue.ports.job import (
    Commanded,
    Member,
    Membership,
    Order,
    Orders,
    Settings,
    StandingOrders,
)
from caption_flow.queue.ports.operate import Operator
from caption_flow.queue.ports.work import Claimed, Deferral, WorkJob, WorkQueue

__all__ = [
    "Begun",
    "Budget",
    "CaptionQueue",
    "Claimed",
    "Commanded",
    "DeadLetters",
    "Deferral",
    "FeedQueue",
    "Inspector",
    "LetterFilter",
    "Letters",
    "Member",
    "Membership",
    "Moment",
    "Offered",
    "Operator",
    "Order",
    "Orders",
    "Planned",
    "Room",
    "Settings",
    "Shard",
    "Snapshot",
    "StandingOrders",
    "Stream",
    "Withdrawn",
    "WorkJob",
    "WorkQueue",
]
