"""Proxy: what those who bring data are bound by, as the operator's document says it."""

from msgspec import Struct

from caption_flow.config.schema import BudgetConfig, ImagesConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.grants import Role
from caption_flow.queue.ports import Budget
from caption_flow.wire.feeding import SPARE


class Supply(Struct, frozen=True):
    """The bounds, and where the parts lie."""

    most_image: int = ImagesConfig().max_bytes  # bytes, encoded
    budget: Budget = Budget(bytes=BudgetConfig().bytes, samples=BudgetConfig().samples)
    folder: PartFolder | None = None  # None: this host has none

    def most_payload(self, role: Role) -> int:
        """Bound what a client of a role sends beside the head of a frame, in bytes."""
        return {"feeder": self.most_image + SPARE, "admin": SPARE}.get(role, 0)
