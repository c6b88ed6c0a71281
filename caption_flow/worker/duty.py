"""Worker: what it does with its engine by one version of the settings, sample by sample.

A sample makes one visit: it passes all stages in a row that this engine makes, and leaves with what
each has made of it. Other settings are for the visits that begin after them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count

from msgspec import Struct

from caption_flow.config.broadcast import Broadcast, fingerprint
from caption_flow.config.schema import ImagesConfig
from caption_flow.config.vllm import Stage
from caption_flow.model import Lease, Outcome, Outcomes, following
from caption_flow.worker.ladder import Answer


class Duty(Struct, frozen=True):
    """What is asked of one engine."""

    version: int  # of the settings
    order: tuple[str, ...]  # the stages of the job
    stages: Mapping[str, Stage]  # those that this engine makes
    prompts: Mapping[str, str]  # fingerprints, likewise by stage
    former: tuple[str, ...]  # stages that the job had before; what waits there is moved on
    images: ImagesConfig
    max_attempts: int

    @classmethod
    def of(
        cls,
        settings: Broadcast,
        version: int,
        *,
        stages: Iterable[Stage] | None = None,
        former: Iterable[str] = (),
    ) -> "Duty":
        """Take it from the settings; `stages`: those that the engine makes, None: all."""
        made = settings.stages if stages is None else tuple(stages)
        return cls(
            version=version,
            order=tuple(stage.name for stage in settings.stages),
            stages={stage.name: stage for stage in made},
            prompts={stage.name: fingerprint(stage) for stage in made},
            former=tuple(former),
            images=settings.images,
            max_attempts=settings.max_attempts,
        )

    def next(self, outcomes: Outcomes) -> Stage | None:
        """The stage that such a sample passes here now; None: it has no business here."""
        return next(self._ahead(outcomes), None)

    def shows(self, outcomes: Outcomes) -> bool:
        """Whether the image of such a sample is shown in one of the stages that it passes here."""
        return any(stage.image for stage in self._ahead(outcomes))

    def _ahead(self, outcomes: Outcomes) -> Iterator[Stage]:
        passed = {outcome.stage for outcome in outcomes}
        while (stage := self._following(passed)) is not None:
            yield stage
            passed.add(stage.name)

    def _following(self, passed: Collection[str]) -> Stage | None:
        name = following(self.order, passed)
        return None if name is None else self.stages.get(name)


class Visit:
    """One sample's visit, by the settings of its beginning."""

    def __init__(self, lease: Lease, duty: Duty) -> None:
        self.lease = lease
        self.duty = duty
        self.made: list[Outcome] = []
        self.answers: dict[str, list[Answer]] = {}  # by stage, one to each prompt
        self.model = ""  # what answered last, where the engine has several
        self._requests = count()

    @property
    def outcomes(self) -> Outcomes:
        """What was made of the sample so far, here and before."""
        return (*self.lease.outcomes, *self.made)

    @property
    def stage(self) -> Stage | None:
        """The stage that comes next; None: the visit is over."""
        return self.duty.next(self.outcomes)

    @property
    def shows(self) -> bool:
        """Whether the image is shown in what is left of the visit."""
        return self.duty.shows(self.outcomes)

    def request(self) -> str:
        """Name a request like no other inside the engine."""
        return f"{self.lease.entry}:{self.lease.attempt}:{next(self._requests)}"
