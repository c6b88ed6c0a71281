"""Worker: what it does with its engine by one version of the settings, sample by sample.

A sample makes one visit: it passes all stages in a row that this engine makes, and leaves with what
each has made of it. Other settings are for the visits that begin after them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count

from msgspec import Struct, field

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
    _ways: dict[frozenset[str], tuple[Stage, ...]] = field(default_factory=dict)  # as found

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

    def ahead(self, outcomes: Outcomes) -> tuple[Stage, ...]:
        """The stages that such a sample passes here now; none: it has no business here."""
        passed = frozenset([outcome.stage for outcome in outcomes])
        way = self._ways.get(passed)
        if way is None:  # few ways are gone, each by many samples
            way = self._ways[passed] = tuple(self._way(passed))
        return way

    def _way(self, passed: Collection[str]) -> Iterator[Stage]:
        gone = set(passed)
        while (name := following(self.order, gone)) is not None and name in self.stages:
            yield self.stages[name]
            gone.add(name)


def shown(stages: Iterable[Stage]) -> bool:
    """Whether one of these stages shows its image."""
    return any(stage.image for stage in stages)


class Visit:
    """One sample's visit, by the settings of its beginning."""

    def __init__(self, lease: Lease, duty: Duty) -> None:
        self.lease = lease
        self.duty = duty
        self.made: list[Outcome] = []
        self.answers: dict[str, list[Answer]] = {}  # by stage, one to each prompt
        self.model = ""  # what answered last, where the engine has several
        self._ahead = duty.ahead(lease.outcomes)
        self._requests = count()

    @property
    def outcomes(self) -> Outcomes:
        """What was made of the sample so far, here and before."""
        return (*self.lease.outcomes, *self.made)

    @property
    def stage(self) -> Stage | None:
        """The stage that comes next; None: the visit is over."""
        passed = len(self.made)
        return self._ahead[passed] if passed < len(self._ahead) else None

    @property
    def shows(self) -> bool:
        """Whether the image is shown in what is left of the visit."""
        return shown(self._ahead[len(self.made) :])

    def request(self) -> str:
        """Name a request like no other inside the engine."""
        return f"{self.lease.entry}:{self.lease.attempt}:{next(self._requests)}"
