"""Wire: the frames of operators. They may ask what monitors ask, too."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from caption_flow.wire.feeding import Version
from caption_flow.wire.fields import Frame, Line, Record, RequestId, Role

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class SettingsWanted(Frame, frozen=True, array_like=True, tag=60):
    """Asks for the settings as they stand, and for what data set they are."""

    id: RequestId


class Reload(Frame, frozen=True, array_like=True, tag=61):
    """Publishes settings instead of those that were looked at; payload: their document."""

    id: RequestId
    instead_of: Version


class Reloaded(Frame, frozen=True, array_like=True, tag=62):
    """The new version; 0: the job has others than that, and nothing happened."""

    id: RequestId
    version: int


class GiveOrder(Frame, frozen=True, array_like=True, tag=63):
    """Pauses a job, lets it go on, or lets one process end."""

    id: RequestId
    what: Literal["pause", "resume", "drain"]
    member: Line = ""  # that is to end


class OrderGiven(Frame, frozen=True, array_like=True, tag=64):
    """It is done; and the order that there was before, of a pause."""

    id: RequestId
    by: str  # empty: there was none
    at: float


class TokensWanted(Frame, frozen=True, array_like=True, tag=65):
    """Asks for the tokens that the queue knows of."""

    id: RequestId


class PutToken(Frame, frozen=True, array_like=True, tag=66):
    """Adds a token, or puts it in the place of another one."""

    id: RequestId
    grant: Record  # in JSON
    instead_of: Sha256 | None


class RemoveToken(Frame, frozen=True, array_like=True, tag=67):
    """Removes a token."""

    id: RequestId
    name: Line
    role: Role


class ContributorsWanted(Frame, frozen=True, array_like=True, tag=68):
    """Asks for what each contributor has done."""

    id: RequestId


class HandBack(Frame, frozen=True, array_like=True, tag=69):
    """Ends all leases of a contributor's workers."""

    id: RequestId
    contributor: Line


FromAdmin: TypeAlias = (
    SettingsWanted
    | Reload
    | GiveOrder
    | TokensWanted
    | PutToken
    | RemoveToken
    | ContributorsWanted
    | HandBack
)
ToAdmin: TypeAlias = Reloaded | OrderGiven
