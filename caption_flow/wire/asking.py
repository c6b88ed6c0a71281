"""Wire: the frames of those who only look at a job. What they are told is JSON, as payload."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from caption_flow.wire.fields import Frame, RequestId

MOST_LETTERS = 1000  # dead letters, or samples whose columns are looked at, in one answer

Few: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_LETTERS)]

# Of a shard, in UTF-8 with what is no text passed on: it may be the path of a file.
ShardName: TypeAlias = Annotated[bytes, Meta(max_length=8192)]


class Report(Frame, frozen=True, array_like=True, tag=50):
    """What was asked for; payload: in JSON."""

    id: RequestId


class SnapshotWanted(Frame, frozen=True, array_like=True, tag=51):
    """Asks for the job at a glance."""

    id: RequestId


class LettersWanted(Frame, frozen=True, array_like=True, tag=52):
    """Asks for the newest dead letters."""

    id: RequestId
    count: Few


class ColumnsWanted(Frame, frozen=True, array_like=True, tag=53):
    """Asks for the columns of so many samples that are in a stage."""

    id: RequestId
    count: Few


class CaptionsWanted(Frame, frozen=True, array_like=True, tag=54):
    """Asks for the newest captions that are in no part yet."""

    id: RequestId
    count: Few


class ShardsWanted(Frame, frozen=True, array_like=True, tag=55):
    """Asks for so many shards that come after one, by name; none: from the first on."""

    id: RequestId
    after: ShardName
    count: Few


FromMonitor: TypeAlias = (
    SnapshotWanted | LettersWanted | ColumnsWanted | CaptionsWanted | ShardsWanted
)
