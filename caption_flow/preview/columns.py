"""Preview: are the columns there that the prompts are filled in with?"""

import re
from collections.abc import Container, Sequence

from caption_flow.config import JobConfig
from caption_flow.config.wording import Need
from caption_flow.errors import ConfigError
from caption_flow.model import Raw
from caption_flow.template import known_as

_PLACE = re.compile(r"vllm\.stages\[(\d+)\]")


def check_columns(config: JobConfig, stages: Container[str], images: Sequence[Raw]) -> None:
    """Refuse prompts of these stages whose columns no image has; ConfigError says how to give one.

    Those that only some lack are filled in with nothing, as in a run.
    """
    there = {name for raw in images for name in raw.columns}
    lines = [
        f"{need.prompt} has {need.field.spelled}, but no image here has such a column. "
        f'Give it with --column "{need.field.name.strip()}=TEXT".'
        for need in config.needs()
        if not need.optional
        and _stage(config, need) in stages
        and known_as(need.field.name, there) is None
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _stage(config: JobConfig, need: Need) -> str:
    """Name the stage whose prompt this is; that of all stages is as good as the first one's."""
    place = _PLACE.match(need.prompt)
    listed = config.vllm.stages
    return listed[int(place[1])].name if place else config.vllm.resolved_stages()[0].name
