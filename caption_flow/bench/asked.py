"""Bench: what the engines are asked of each image, taken from one round through all stages."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from PIL.Image import Image

from caption_flow.bench.fresh import fresh
from caption_flow.bench.pool import Bad, Pool
from caption_flow.config.schema import ImagesConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Engine, Request
from caption_flow.image import decode
from caption_flow.model import Offer
from caption_flow.preview.told import Exchange, Shown

MOST_PIXELS = 1 << 30  # bytes of decoded images that are kept


class Asked(Struct, frozen=True):
    """What one engine is asked of one image; stage after stage, the requests of each at once."""

    offer: Offer
    stages: tuple[tuple[Stage, tuple[Exchange, ...]], ...]
    pixels: Image | None = None

    def visit(self, number: int) -> Iterator[list[Request]]:
        """Make the requests of another visit, of an image that the engine has not seen."""
        sample = self.offer.sample
        for stage, exchanges in self.stages:
            yield [
                Request(
                    id=f"bench-{number}-{stage.name}-{place}",
                    sample=sample.id,
                    stage=stage,
                    prompt=said.prompt,
                    data=self._data(number) if stage.image else b"",
                    image=self.pixels if stage.image else None,
                    sha256=f"{sample.sha256}-{number}" if stage.image else "",
                    system=said.system_prompt,
                )
                for place, said in enumerate(exchanges)
            ]

    def _data(self, number: int) -> bytes:
        return self.offer.image if self.pixels else fresh(self.offer.image, number)


def refused(shown: Sequence[Shown]) -> list[Bad]:
    """Name the images that came through not all stages."""
    return [
        Bad(one.sample.source, one.failure.reason, one.failure.detail)
        for one in shown
        if one.failure is not None
    ]


def asked_of(
    engine: Engine,
    names: Sequence[str],
    pool: Pool,
    shown: Sequence[Shown],
    limits: ImagesConfig,
) -> list[Asked]:
    """Say what an engine is asked by the stages of these names.

    As many images as decoded ones may be kept; one at least.
    """
    told = {one.sample.id: one for one in shown}
    found: list[Asked] = []
    size = 0
    for offer in pool.offers:
        stages = tuple(_said(told[offer.sample.id], names))
        pixels = None
        if engine.decodes and any(stage.image for stage, _ in stages):
            pixels = decode(offer.image, max_pixels=limits.max_pixels, max_side=limits.max_side)
            size += 3 * pixels.width * pixels.height
        if found and size > MOST_PIXELS:
            break
        found.append(Asked(offer, stages, pixels))
    return found


def _said(one: Shown, names: Sequence[str]) -> Iterator[tuple[Stage, tuple[Exchange, ...]]]:
    for passage in one.passages:
        if passage.stage.name in names:
            yield passage.stage, tuple(said for told in passage.told for said in told.tries)


class Answers(Struct, frozen=True):
    """What came of the first round: how long the prompts and the captions are."""

    captions: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    cut: int  # requests that ended because max_tokens was reached
    repeated: Mapping[str, int]  # by stage: prompts that it has more than once

    @classmethod
    def of(cls, shown: Sequence[Shown]) -> "Answers":
        """Sum up what was said to images that came through."""
        good = [one for one in shown if one.failure is None]
        said = [said for one in good for told in one.told for said in told.tries]
        stages = {p.stage.name: p.stage for one in good for p in one.passages}
        doubled = {
            name: len(stage.prompts) - len(set(stage.prompts)) for name, stage in stages.items()
        }
        return cls(
            captions=len(good),
            requests=len(said),
            prompt_tokens=sum(one.prompt_tokens for one in said),
            output_tokens=sum(one.output_tokens for one in said),
            cut=sum(one.finish_reason == "length" for one in said),
            repeated={name: count for name, count in doubled.items() if count},
        )
