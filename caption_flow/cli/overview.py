"""Command line: the state of a job in a few lines, for `status` and the monitor."""

from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caption_flow.cli.grid import GAP, Column, grid
from caption_flow.config.sizes import spelt
from caption_flow.model import Counts
from caption_flow.monitor import wording
from caption_flow.monitor.budget import ceiling
from caption_flow.monitor.chart import EIGHTHS, PLAIN, chart, columns, known
from caption_flow.monitor.limits import Limit, limit
from caption_flow.monitor.living import is_silent, live
from caption_flow.monitor.rates import MINUTE, SHORTEST, Pace, rates
from caption_flow.monitor.report import BOOKS
from caption_flow.monitor.workers import ceiling as all_ceilings
from caption_flow.monitor.workers import reached
from caption_flow.plain import printable
from caption_flow.queue.ports import Member, Snapshot

LABEL = 11  # characters before what is labelled
_STYLES = {"done": "green", "nothing": "", "engine": ""}  # all others should be looked at
_LOOK_AT = "yellow"
_WIDEST_BAR = 60
_SHARES = ("free_lately", "idle_lately", "full_lately")
# One of a role, and several.
ROLES = {
    "worker": ("worker", "workers"),
    "feed": ("feeder", "feeders"),
    "sink": ("sink", "sinks"),
    "proxy": ("proxy", "proxies"),
}


def headline(job: str, snapshot: Snapshot) -> Text:
    """Say which job it is, and in which state."""
    told = f": {state(snapshot)}, settings of version {snapshot.settings_version}"
    return Text(printable(job), "bold").append(told, "not bold")


def state(snapshot: Snapshot) -> str:
    """Say in a word or two how far the job is."""
    counts = snapshot.counts
    if counts.done:
        return "done" if counts.planned else "nothing was planned"
    how = "planned" if counts.plan_done else "being planned"
    return f"{how}, paused" if snapshot.paused else how


def limiting(snapshot: Snapshot) -> list[Table]:
    """Say what limits the job now, and by which figures."""
    found = limit(snapshot)
    sentence = Text(printable(found.sentence), _STYLES.get(found.kind, _LOOK_AT))
    lines = [labelled("Limit", sentence)]
    if found.figures:
        lines.append(labelled("", Text(", ".join(_figures(found)), "dim")))
    return lines


def standing(snapshot: Snapshot, width: int) -> list[RenderableType]:
    """Show how far and how fast a job is, who works at it, and where its samples are."""
    return [
        progress(snapshot.counts, width),
        *pace(snapshot),
        budget(snapshot),
        crew(snapshot),
        dead(snapshot),
        Text(),
        books(snapshot.counts, width),
    ]


def progress(counts: Counts, width: int) -> RenderableType:
    """Show which share of the job is settled, as a bar with words."""
    settled = counts.completed + counts.dead
    share = settled / counts.planned if counts.planned else 0.0
    so_far = "" if counts.plan_done else " planned so far"
    words = f"{share:6.1%}  {settled:,} of {counts.planned:,}{so_far}"
    room = min(_WIDEST_BAR, width - LABEL - len(words) - GAP)
    line = Table.grid(padding=(0, GAP, 0, 0))
    if room >= LABEL:
        bar = ProgressBar(max(1, counts.planned), settled, width=room)
        line.add_row(bar, words)
    else:
        line.add_row(words.strip())
    return labelled("Settled", line)


def books(counts: Counts, width: int) -> RenderableType:
    """Show where the samples of the job are."""
    told = {name.replace("_", " "): f"{getattr(counts, name):,}" for name in BOOKS}
    in_a_row = sum(max(map(len, pair)) + GAP for pair in told.items()) - GAP
    if in_a_row <= width - LABEL:
        titles = [Column(name, right=True) for name in told]
        return labelled("Samples", grid(titles, [list(told.values())], in_a_row))
    return labelled("Samples", Text(", ".join(f"{name} {n}" for name, n in told.items())))


def pace(snapshot: Snapshot) -> list[Table]:
    """Show how fast it goes, and how long it will take."""
    found = rates(snapshot)
    spans = (("1 min", found.minute), ("5 min", found.five_minutes), ("60 min", found.hour))
    told = "   ".join(f"{name} {_rate(each)}" for name, each in spans)
    newest = next((each for _, each in spans if each.samples), found.minute)
    tokens = f"{newest.tokens:,.0f} tokens/s"
    left = "" if snapshot.counts.done else f"   {wording.span(found.left)} left"
    return [
        labelled("Rate", Text(told)),
        labelled("", Text(f"{tokens}{left}{_of_ceiling(snapshot, newest)}")),
    ]


def throughput(snapshot: Snapshot, width: int, height: int, *, ascii_only: bool) -> RenderableType:
    """Draw the rate over the last minutes, an hour at most."""
    span = known(snapshot)
    rates_ = columns(snapshot, width, span)
    lines = chart(rates_, height, PLAIN if ascii_only else EIGHTHS)
    top = max((each for each in rates_ if each), default=None)
    middle = f"highest {wording.rate(top)}"
    left, right = f"{span / MINUTE:.0f} minutes ago", "now"
    axis = f"{left}{middle:^{max(0, width - len(left) - len(right))}}{right}"
    drawn = [Text(line, "cyan", no_wrap=True, overflow="crop") for line in lines]
    return Group(*drawn, Text(axis, "dim", no_wrap=True, overflow="crop"))


def budget(snapshot: Snapshot) -> RenderableType:
    """Show how much is in flight, of what may be."""
    counts, most = snapshot.counts, ceiling(live(snapshot))
    of_bytes = f" of {spelt(most.bytes)}" if most.bytes else ""
    of_samples = f" of {most.samples:,.0f}" if most.samples else ""
    told = f"{spelt(counts.bytes_in_flight)}{of_bytes}, {counts.in_flight:,}{of_samples} samples"
    return labelled("In flight", Text(told))


def crew(snapshot: Snapshot) -> RenderableType:
    """Count the processes of the job by role."""
    told = [_crowd(snapshot, role, names) for role, names in ROLES.items()]
    return labelled("Processes", Text(", ".join(filter(None, told)) or "none"))


def beside_workers(snapshot: Snapshot) -> list[Member]:
    """List the processes that are no workers, by role and name."""
    ranks = {role: rank for rank, role in enumerate(ROLES)}
    others = [member for member in snapshot.members if member.role != "worker"]
    return sorted(others, key=lambda one: (ranks.get(one.role, len(ranks)), one.name))


def dead(snapshot: Snapshot) -> RenderableType:
    """Count the dead letters by reason."""
    count = snapshot.counts.dead
    why = ", ".join(f"{printable(name)} {n:,}" for name, n in snapshot.reasons.items())
    told = f"{count:,}" + (f": {why}" if count and why else "")
    return labelled("Dead", Text(told, _LOOK_AT if count else ""))


def labelled(label: str, told: RenderableType) -> Table:
    """Put a label before something; what is long stays to the right of it."""
    line = Table.grid(padding=(0, 0, 0, 0))
    line.add_column(width=LABEL, no_wrap=True)
    line.add_column()
    line.add_row(Text(label, "bold"), told)
    return line


def _of_ceiling(snapshot: Snapshot, pace: Pace) -> str:
    share = reached(snapshot, pace)
    if share is None:
        return ""
    most = wording.rate(all_ceilings(snapshot))
    return f"   {share:.0%} of the {most} that the engines can make"


def _figures(found: Limit) -> Iterator[str]:
    for name, value in found.figures.items():
        said = f"{value:.0%}" if name in _SHARES else f"{value:,.0f}"
        yield f"{name.replace('_', ' ')} {said}"


def _rate(pace: Pace) -> str:
    return wording.rate(pace.samples if pace.seconds >= SHORTEST else None)


def _crowd(snapshot: Snapshot, role: str, names: tuple[str, str]) -> str:
    """Count the processes of a role; those that do not simply work are told apart."""
    states = Counter(
        "silent" if is_silent(member, snapshot.at) else member.state.partition(":")[0]
        for member in snapshot.members
        if member.role == role
    )
    if not states:
        return ""
    count = states.total()
    del states["working"]
    which = ", ".join(f"{n:,} {printable(state)}" for state, n in states.most_common())
    told = f"{count:,} {names[count > 1]}"
    return f"{told} ({which})" if which else told
