"""Command line: what no row says of a job that is exported, as far as somebody can be asked."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec
from msgspec import Struct

from caption_flow import __version__
from caption_flow.cli.asking import office_of
from caption_flow.cli.running import embedded_directory
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast, fingerprint
from caption_flow.config.vllm import Stage
from caption_flow.errors import CaptionFlowError
from caption_flow.export.hub.card import Facts
from caption_flow.export.stats import Summary
from caption_flow.queue.embedded import running_url
from caption_flow.queue.office import Office


class Publishing(Struct, frozen=True):
    """What the user says of a data set that is published."""

    license: str = ""
    tags: tuple[str, ...] = ()
    nsfw: bool = False
    prompts: bool = True  # with their texts


class _Answer(Struct, frozen=True):
    """What the job's Redis said; nothing where nobody could be asked."""

    settings: Broadcast | None = None
    named: frozenset[str] | None = None  # contributors that may be
    failure: CaptionFlowError | None = None  # why it said nothing though it was asked


class Told:
    """What the job's Redis tells, asked once and only where it is needed."""

    def __init__(self, config: JobConfig) -> None:
        self._config = config

    @property
    def named(self) -> frozenset[str] | None:
        """The contributors that may be named; None where nobody could be asked."""
        return self._answer.named

    def nameable(self) -> frozenset[str]:
        """Name the contributors that may be named where everybody reads it."""
        return self.named or frozenset()

    def check(self) -> None:
        """Raise CaptionFlowError where a Redis is configured that did not answer.

        What is published for good is not to lack what only a slip in an address kept from us.
        """
        config, failure = self._config, self._answer.failure
        if failure is not None and (config.redis or config.server):
            raise failure

    def hidden(self, contributors: Iterable[str]) -> frozenset[str]:
        """Say who of them is not named on the operator's own terminal.

        Where there is no Redis to ask, all are: he has the names in his files.
        """
        answer = self._answer
        if answer.named is None and answer.failure is None:
            return frozenset()
        return frozenset(contributors).difference(answer.named or (), {""})

    def output_of(self, stage: str) -> str | None:
        """Say which column a stage writes its texts to; None where nobody knows."""
        told = self._answer.settings
        stages = told.stages if told else self._config.vllm.resolved_stages()
        return next((one.output_field for one in stages if one.name == stage), None)

    def facts(self, summary: Summary, said: Publishing) -> Facts:
        """Say what is known of how the rows were made."""
        stages = self._stages(summary)
        return Facts(
            version=__version__,
            license=said.license,
            tags=said.tags,
            nsfw=said.nsfw,
            sources=tuple(summary.datasets),
            fingerprints={one.name: fingerprint(one) for one in stages},
            prompts={one.name: one.prompts for one in stages if said.prompts},
            system_prompts={
                one.name: one.system_prompt for one in stages if one.system_prompt and said.prompts
            },
            sampling={one.name: msgspec.to_builtins(one.sampling) for one in stages},
        )

    def _stages(self, summary: Summary) -> Sequence[Stage]:
        """Give the stages by the newest settings: of the job, or else of a document that fits."""
        told = self._answer.settings
        if told is not None:
            return told.stages
        stages = self._config.vllm.resolved_stages()
        # A document may be another job's, or none: then it says what nobody asked.
        return stages if any(fingerprint(one) in summary.prompts for one in stages) else ()

    @cached_property
    def _answer(self) -> _Answer:
        config = self._config
        ended = not (config.redis or running_url(embedded_directory(config)))
        if ended and not embedded_directory(config).exists():
            return _Answer()
        try:
            with office_of(config, "export", "monitor") as office:
                return office.ask(_ask)
        except CaptionFlowError as exc:
            return _Answer(failure=exc)


async def _ask(office: Office) -> _Answer:
    settings = await office.settings()
    people = await office.contributors()
    named = frozenset(one.name for one in people if not one.anonymous)
    return _Answer(Broadcast.decode(settings.document) if settings else None, named)
