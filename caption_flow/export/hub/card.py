"""Export: the card of a data set, README.md, made of what was counted and what is known besides.

The same facts give the same bytes, so that an export that changes nothing changes no card. Texts
of strangers stay text: names cannot become links, nor prompts end their frame.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
from msgspec import Struct, field

from caption_flow.codec import records
from caption_flow.export.choice import How
from caption_flow.export.hub.features import features
from caption_flow.export.hub.meanings import meaning
from caption_flow.export.hub.merging import DEFAULT, block, dump, merged, unmarked
from caption_flow.export.report import day, rounded, shards, share, standings
from caption_flow.export.stats import Summary, Texts
from caption_flow.plain import in_markdown, printable

__all__ = ["Facts", "card", "merged"]

DATA_FILES = "data/train-*.parquet"
_MOST = 20  # values of a kind that are named
_MOST_PEOPLE = 100
_TICKS = re.compile("`+")
_ITEMS = re.compile("<(?:item|element): ")  # the name of what is in lists depends on who wrote them
_TAGS = ("image-captioning", "synthetic", "caption-flow")
_TASKS = ("image-to-text", "text-to-image")


class Facts(Struct, frozen=True, kw_only=True):
    """What no row says."""

    repo: str = ""  # USER/NAME
    schema: pa.Schema = pa.schema([])  # of the files
    version: str  # of caption-flow
    pretty_name: str = ""  # empty: as the repository
    license: str = ""  # as the hub spells it; empty: nothing is said
    sources: tuple[str, ...] = ()  # what was captioned, as its operator names it
    languages: tuple[str, ...] = ()  # codes: "en"
    tags: tuple[str, ...] = ()  # beside those that all have
    rows: int = 0  # of the files; 0: one for each sample
    how: How = "all"  # captions were chosen
    fields: tuple[str, ...] = ()  # columns that are properties of answers in JSON
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # of the prompts, by stage
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by stage
    system_prompts: Mapping[str, str] = field(default_factory=dict)  # by stage
    sampling: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by stage
    anonymous: frozenset[str] = frozenset()  # contributors that want not to be named
    nsfw: bool = False
    bytes: int = 0  # of all files; 0: nobody knows


def card(summary: Summary, facts: Facts) -> str:
    """Write the card."""
    sections = (
        _opening(summary, facts),
        _texts(summary, facts),
        _columns(summary, facts),
        _making(summary, facts),
        _prompts(summary, facts),
        _people(summary, facts),
        _license(facts),
    )
    text = "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines)
    return f"---\n{dump(_header(summary, facts))}---\n\n{block(text)}\n"


def _header(summary: Summary, facts: Facts) -> dict[str, Any]:
    nsfw = ("not-for-all-audiences",) if facts.nsfw else ()
    said: dict[str, Any] = {
        "license": facts.license,
        "language": list(facts.languages),
        "pretty_name": facts.pretty_name,
        "tags": list(dict.fromkeys((*_TAGS, *facts.tags, *nsfw))),
        "task_categories": list(_TASKS),
        "size_categories": [_size(facts.rows or summary.rows)],
        "configs": [
            {"config_name": DEFAULT, "data_files": [{"split": "train", "path": DATA_FILES}]}
        ],
    }
    if found := features(facts.schema):
        said["dataset_info"] = {"features": found}
    return {key: value for key, value in said.items() if value}


def _size(rows: int) -> str:
    """Spell a number of rows as the hub's categories do."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    for at, bound in enumerate(bounds):
        if rows < 10 ** (3 + at):
            return f"{bounds[at - 1]}<n<{bound}" if at else f"n<{bound}"
    return f"n>{bounds[-1]}"


def _opening(summary: Summary, facts: Facts) -> Iterator[str]:
    yield f"# {in_markdown(facts.pretty_name or facts.repo)}"
    yield ""
    sources = f" of {_listed(facts.sources)}" if facts.sources else ""
    yield (
        f"Captions of {summary.rows:,} images{sources}, made by machines with "
        f"caption-flow {in_markdown(facts.version)}."
    )
    yield ""
    yield "| | |"
    yield "|:---|---:|"
    yield f"| rows | {facts.rows or summary.rows:,} |"
    if len(_outputs(summary, facts)) == len(summary.outputs):  # else it is not of what is here
        yield f"| rows without a caption | {summary.empty:,} |"
    yield f"| shards of the source | {shards(summary)} |"
    yield f"| tokens of captions | {summary.output_tokens:,} |"
    if facts.bytes:
        yield f"| size of the files | {rounded(facts.bytes)} |"
    if summary.first:
        yield f"| captioned | {day(summary.first)} to {day(summary.last)} |"


def _outputs(summary: Summary, facts: Facts) -> Mapping[str, Texts]:
    """Give those that are in the files."""
    return {n: texts for n, texts in summary.outputs.items() if n in facts.schema.names}


def _texts(summary: Summary, facts: Facts) -> Iterator[str]:
    outputs = _outputs(summary, facts)
    if not outputs:
        return
    yield "## Captions"
    yield ""
    yield "| column | rows | texts | shortest | on average | longest |"
    yield "|:---|---:|---:|---:|---:|---:|"
    for name, texts in outputs.items():
        yield f"| {in_markdown(name)} | {_figures(texts)} |"
    yield ""
    yield "Lengths are in characters."


def _figures(texts: Texts) -> str:
    lengths = (f"{texts.shortest:,}", f"{texts.mean:,.1f}", f"{texts.longest:,}")
    return " | ".join((f"{texts.rows:,}", f"{texts.count:,}", *lengths))


def _columns(summary: Summary, facts: Facts) -> Iterator[str]:
    yield "## Columns"
    yield ""
    yield "| column | type | meaning |"
    yield "|:---|:---|:---|"
    for column in facts.schema:
        said = meaning(column, summary.outputs, facts.fields, facts.how)
        kind = _ITEMS.sub("<", str(column.type))
        yield f"| {in_markdown(column.name)} | {in_markdown(kind)} | {said} |"


def _making(summary: Summary, facts: Facts) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    yield "| | |"
    yield "|:---|:---|"
    for name, values in (
        ("models", summary.models),
        ("engines", summary.engines),
        ("stages", summary.stages),
        ("versions of the settings", summary.settings_versions),
        ("prompts, by fingerprint", summary.prompts),
        ("how answers ended", summary.finish_reasons),
        ("failed checks", summary.quality_flags),
        ("formats of the images", summary.formats),
    ):
        if values:
            yield f"| {name} | {_counted(values)} |"
    for stage, keys in facts.sampling.items():
        told = ", ".join(f"{name} {records.encode(keys[name]).decode()}" for name in sorted(keys))
        yield f"| sampling of stage {in_markdown(stage)} | {in_markdown(told)} |"


def _prompts(summary: Summary, facts: Facts) -> Iterator[str]:
    stages = dict.fromkeys((*facts.fingerprints, *facts.system_prompts, *facts.prompts))
    if not stages:
        return
    yield "## Prompts"
    yield ""
    yield " ".join(_about_prompts(summary, facts))
    for stage in stages:
        yield ""
        yield f"### Stage {in_markdown(stage)}"
        if known := facts.fingerprints.get(stage):
            count = summary.prompts.get(known, 0)
            yield ""
            yield f"Fingerprint `{known}`" + (f", of {count:,} samples." if count else ".")
        if system := facts.system_prompts.get(stage):
            yield from ("", "For the system:", "", *_framed(system))
        for prompt in facts.prompts.get(stage, ()):
            yield from ("", *_framed(prompt))


def _about_prompts(summary: Summary, facts: Facts) -> Iterator[str]:
    told = facts.prompts or facts.system_prompts
    yield "As the settings have them now." if told else "Their texts are not published."
    if "prompts" in facts.schema.names:
        yield "A row has the fingerprint of those of its last stage in its column `prompts`."
    other = summary.prompts.keys() - set(facts.fingerprints.values())
    if other:
        count = sum(summary.prompts[one] for one in other)
        yield f"{count:,} samples have none of these fingerprints: theirs were other prompts."


def _framed(text: str) -> Iterator[str]:
    """Show a text as it is, in a frame that nothing in it ends."""
    longest = max(map(len, _TICKS.findall(text)), default=0)
    frame = "`" * max(3, longest + 1)
    yield f"{frame}text"
    yield from (printable(line) for line in unmarked(text).strip().splitlines())
    yield frame


def _people(summary: Summary, facts: Facts) -> Iterator[str]:
    found = standings(summary, facts.anonymous)
    if all(one.kind == "own" for one in found):
        return
    whole = sum(one.credit.captions for one in found)
    named = [one for one in found if one.kind == "contributor"]
    yield "## Contributors"
    yield ""
    yield "| | contributor | captions | share |"
    yield "|---:|:---|---:|---:|"
    for one in (*named[:_MOST_PEOPLE], *(one for one in found if one not in named)):
        count = one.credit.captions
        title = in_markdown(one.title)
        yield f"| {one.rank or ''} | {title} | {count:,} | {share(count, whole)} |"
    if len(named) > _MOST_PEOPLE:
        rest = sum(one.credit.captions for one in named[_MOST_PEOPLE:])
        others = f"{len(named) - _MOST_PEOPLE:,} others"
        yield f"| | {others} | {rest:,} | {share(rest, whole)} |"


def _license(facts: Facts) -> Iterator[str]:
    if facts.license:
        yield "## Licence"
        yield ""
        yield f"The captions are under {in_markdown(facts.license)}; images have their own."


def _counted(values: Mapping[Any, int]) -> str:
    told = [f"{in_markdown(str(name))} ({count:,})" for name, count in values.items()]
    return _short(told)


def _listed(values: tuple[str, ...]) -> str:
    return _short([in_markdown(value) for value in values])


def _short(told: list[str]) -> str:
    more = len(told) - _MOST
    return ", ".join(islice(told, _MOST)) + (f" and {more:,} more" if more > 0 else "")
