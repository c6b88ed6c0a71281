"""Export: what was counted, in lines for people."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from caption_flow.export.stats import Summary, Texts
from caption_flow.model import Credit
from caption_flow.plain import printable
from caption_flow.queue.ports.contributors import Contributor, Standing, leaderboard

_MOST = 10  # values of a kind that are named
_WIDTH = 18  # characters of a name of ours
_KINDS = (
    *("datasets", "models", "engines", "prompts", "settings_versions", "stages"),
    *("finish_reasons", "quality_flags", "formats"),
)


def stats_text(summary: Summary, anonymous: Collection[str] = ()) -> str:
    """Tell what there is, a line for each thing; nobody is named of those given."""
    return "\n".join(f"{name:<{_WIDTH}} {told}" for name, told in _lines(summary, anonymous))


def standings(summary: Summary, anonymous: Collection[str]) -> list[Standing]:
    """Rank those who captioned."""
    return leaderboard(
        Contributor(name, credit, anonymous=name in anonymous)
        for name, credit in summary.contributors.items()
    )


def day(at: datetime | None) -> str:
    """Spell the day of a time, UTC."""
    return f"{at:%Y-%m-%d}" if at else ""


def share(part: int, whole: int) -> str:
    """Spell a part of a whole in percent; what there is at all never looks like nothing."""
    if 0 < part < whole / 1000:
        return "<0.1 %"
    return f"{part / whole if whole else 0.0:.1%}".replace("%", " %")


def rounded(size: int) -> str:
    """Spell a number of bytes in the unit that fits."""
    value, units = float(size), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    for larger in units:
        if value < 1000:  # noqa: PLR2004 - of a unit make one of the next
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


def shards(summary: Summary) -> str:
    """Spell how many shards there are."""
    return f"{'more than ' if summary.more_shards else ''}{summary.shards:,}"


def _lines(summary: Summary, anonymous: Collection[str]) -> Iterator[tuple[str, str]]:
    yield "rows", f"{summary.rows:,}"
    if not summary.rows:
        return
    yield "without a caption", f"{summary.empty:,}"
    for name, texts in summary.outputs.items():
        yield printable(name), _texts(texts)
    yield "shards", shards(summary)
    for kind in _KINDS:
        if values := getattr(summary, kind):
            yield kind.replace("_", " "), _counts(values)
    yield "contributors", ", ".join(map(_standing, standings(summary, anonymous)))
    yield "tokens", f"{summary.prompt_tokens:,} of prompts, {summary.output_tokens:,} of captions"
    yield "images", rounded(summary.image_bytes)
    if summary.first:
        yield "captioned", f"{_time(summary.first)} to {_time(summary.last)} UTC"


def _texts(texts: Texts) -> str:
    if not texts.count:
        return "no text"
    lengths = f"{texts.shortest:,} to {texts.longest:,} characters, {texts.mean:,.1f} on average"
    return f"{texts.count:,} texts in {texts.rows:,} rows, of {lengths}"


def _counts(values: Mapping[str, int] | Mapping[int, int]) -> str:
    told = [f"{printable(str(name))} {count:,}" for name, count in list(values.items())[:_MOST]]
    more = len(values) - len(told)
    return ", ".join(told) + (f", and {more:,} more" if more else "")


def _standing(standing: Standing) -> str:
    credit: Credit = standing.credit
    title = printable(standing.title)
    return f"{title} {credit.captions:,} captions, {credit.output_tokens:,} tokens"


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
