"""Preview: one setting that is tried, and the trial."""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.lifecycle import Drain
from caption_flow.model import Offer, Raw
from caption_flow.preview.columns import check_columns
from caption_flow.preview.images import looked_at
from caption_flow.preview.loaded import Loaded
from caption_flow.preview.preview import Preview
from caption_flow.preview.told import Shown, Summary
from caption_flow.quality import ready
from caption_flow.worker.served import Served, served


class Setting(Struct, frozen=True):
    """What is tried, and on what."""

    settings: Broadcast  # with the stages that are tried
    needed: tuple[Served, ...]
    offers: Sequence[Offer]

    @classmethod
    def of(cls, config: JobConfig, stage: str | None, images: Sequence[Raw]) -> "Setting":
        """Try a document up to this stage; None: all. ConfigError where it cannot be tried so."""
        settings = broadcast(config)
        if stage is not None:
            settings = _up_to(settings, stage)
        check_columns(config, {one.name for one in settings.stages}, images)
        ready([check for one in settings.stages for check in one.quality])
        offers = looked_at(images, settings.images)
        return cls(settings, served(settings, (), {}), offers)

    @property
    def fits_none(self) -> bool:
        """Whether no image can be shown to any model."""
        return all(offer.failure is not None for offer in self.offers)


def _up_to(settings: Broadcast, stage: str) -> Broadcast:
    served(settings, [stage], {})  # refuses a name that is no stage's
    names = [one.name for one in settings.stages]
    return replace(settings, stages=settings.stages[: names.index(stage) + 1])


async def tried(
    setting: Setting, loaded: Loaded, drain: Drain, show: Callable[[Shown], None]
) -> Summary:
    """Caption the images by a setting, and show each in its turn."""
    begun = time.monotonic()
    # No model is waited for in vain.
    needed = () if setting.fits_none else setting.needed
    engines = await loaded.provide(setting.settings, needed)
    ready = time.monotonic()
    preview = Preview(setting.settings, drain)
    shown = await preview.caption(needed, engines, setting.offers, show)
    ended = time.monotonic()
    return Summary.of(shown, seconds=ended - ready, loading=ready - begun)
