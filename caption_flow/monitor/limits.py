"""Monitor: what keeps a job from going faster, in a sentence with the figures behind it."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, field

from caption_flow.monitor.budget import Ceiling, ceiling
from caption_flow.monitor.living import SILENT, live
from caption_flow.queue.ports import Member, Snapshot

FULL = 0.9  # of a budget: the rest is less than what comes at once
BUSY = 0.2  # share of the time that a slot of an engine is free, up to which it is kept full
QUOTED = 300  # characters of what a worker says
HINDERED = 0.5  # share of the time that feeders find no room, from which on that holds them up

Limiting: TypeAlias = Literal[
    "nothing", "done", "paused", "workers", "engine", "preparing", "feeding", "budget", "sink"
]


class Limit(Struct, frozen=True):
    """What limits a job now."""

    kind: Limiting
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)


class _Scene:
    """A snapshot as the questions below ask it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.counts = snapshot.counts
        self.paused = snapshot.paused
        self._all = snapshot.members
        self._members = live(snapshot)
        self.workers = self._of("worker")
        self.feeders, self.sinks = self._of("feed"), self._of("sink")
        stages = [stream for stream in snapshot.streams if stream.stage]
        self._stages = [stream.stage for stream in stages]
        self.in_stages = sum(stream.waiting + stream.held for stream in stages)
        # The stage where most wait: who serves others cannot help it.
        fullest = max(stages, key=lambda stream: (stream.waiting, stream.held), default=None)
        self.stage = fullest.stage if fullest and self.in_stages else ""
        self.waiting = fullest.waiting if fullest else 0
        self.working = self._serving(self.stage)

    def _serving(self, stage: str) -> list[Member]:
        return [worker for worker in self.workers if _serves(worker, stage)]

    def _of(self, role: str) -> list[Member]:
        return [member for member in self._members if member.role == role]

    def none(self, role: str, word: str) -> str:
        """Say that there is no process of a role: none came, or those that did are silent."""
        if any(member.role == role for member in self._all):
            return f"No {word} was heard of for {SILENT:.0f} s"
        return f"No {word} runs"

    @property
    def to_feed(self) -> int:
        """Samples that are planned and not offered."""
        return self.counts.in_chunks

    @property
    def unfed(self) -> bool:
        """Whether feeders have more to give."""
        return self.to_feed > 0 or not self.counts.plan_done

    @property
    def free(self) -> float:
        """The share of their slots that was free in the last seconds."""
        return _mean(self.working, "free_lately", self.stage)

    @property
    def busy(self) -> bool:
        """Whether the engines of any stage are kept full."""
        serving = ((stage, self._serving(stage)) for stage in self._stages or [""])
        return any(_mean(w, "free_lately", stage) <= BUSY for stage, w in serving if w)

    @property
    def idle(self) -> float:
        """The share of their slots that was free although samples waited, here or in Redis."""
        return _mean(self.working, "idle_lately", self.stage)

    def total(self, figure: str) -> float:
        """Add a figure up over the workers of the stage where most wait."""
        return sum(_figure(worker, figure, self.stage) for worker in self.working)

    @property
    def hindered(self) -> float:
        """The share of the last seconds in which feeders found no room."""
        return max((m.figures.get("full_lately", 0.0) for m in self.feeders), default=0.0)

    @property
    def budget(self) -> Ceiling:
        """What may be in flight at once."""
        return ceiling(self.feeders)


def limit(snapshot: Snapshot) -> Limit:
    """Tell what limits a job now."""
    scene = _Scene(snapshot)
    if scene.counts.done and not scene.counts.planned:
        return Limit("done", "Nothing: the data set has no samples, so none was planned.")
    if scene.counts.done:
        return Limit("done", "Nothing: every sample is in a part or a dead letter.")
    if scene.paused:
        return Limit("paused", "An operator has paused the job; caption-flow resume goes on.")
    return _by_captions(scene) or _by_workers(scene) or _by_engines(scene) or _by_feeding(scene)


def _by_captions(scene: _Scene) -> Limit | None:
    """Sinks limit where what they should write fills the budget, or is all there is."""
    unwritten, budget = scene.counts.unwritten, scene.budget.samples
    if unwritten <= 0:
        return None
    figures = {"unwritten": float(unwritten), "sinks": float(len(scene.sinks))}
    stuck = scene.in_stages == 0 and not scene.unfed
    # Feeders keep the budget full all the time; while engines are busy, that holds nobody up.
    full = bool(budget) and scene.counts.in_flight >= FULL * budget and not scene.busy
    full = full and unwritten >= scene.counts.in_flight / 2
    if not scene.sinks and (stuck or full):
        return Limit(
            "sink",
            f"{scene.none('sink', 'sink')}, and {unwritten:,} captions wait to be written.",
            figures,
        )
    if full and scene.sinks:
        return Limit(
            "sink", f"Sinks: {unwritten:,} captions wait for them and fill the budget.", figures
        )
    return None


def _by_workers(scene: _Scene) -> Limit | None:
    if scene.working or scene.in_stages == 0:
        return None
    loading = [worker for worker in scene.workers if _loads(worker, scene.stage)]
    figures = {"waiting": float(scene.in_stages), "starting": float(len(loading))}
    if loading:
        return Limit("workers", "Workers are loading their models.", figures)
    return Limit("workers", _unserved(scene), figures)


def _unserved(scene: _Scene) -> str:
    """Say that nobody serves the stage where most wait, and why, if a worker tells."""
    wait = f"and {scene.in_stages:,} samples wait."
    if not scene.workers:
        return f"{scene.none('worker', 'worker')}, {wait}"
    mine = [worker for worker in scene.workers if _is_for(worker, scene.stage)]
    if why := next(filter(None, map(_trouble, mine)), ""):
        return f"No worker can caption: {why}"
    said = next(filter(None, map(_trouble, scene.workers)), "")
    told = f" One that serves others says: {said}" if said else ""
    return f"No worker serves the stage {scene.stage}, {wait}{told}"


def _by_engines(scene: _Scene) -> Limit | None:
    if not scene.working or scene.in_stages == 0:
        return None
    figures = {name: scene.total(name) for name in ("slots", "running", "in_hand", "coming")}
    figures |= {"waiting": float(scene.waiting)}
    figures |= {"free_lately": scene.free, "idle_lately": scene.idle}
    if scene.free <= BUSY:
        full = 1 - scene.free
        return Limit(
            "engine", f"The engines: their slots are full {full:.0%} of the time.", figures
        )
    sentence = _preparing(scene)
    return Limit("preparing", sentence, figures) if sentence else None


def _preparing(scene: _Scene) -> str:
    """Say what keeps samples that are there from free slots; "" where nothing does."""
    slots, coming, held = scene.total("slots"), scene.total("coming"), scene.total("in_hand")
    if scene.idle > BUSY and held - coming >= slots:
        return (
            "Workers prepare images more slowly than engines caption them: "
            f"{scene.idle:.0%} of the slots are free while they hold samples. "
            "They need more CPU."
        )
    if coming and coming >= held / 2 and held + scene.waiting > slots:
        return (
            f"Workers wait for images from where they lie: those of {coming:,.0f} of {held:,.0f} "
            f"samples are on their way, while slots are free for {scene.free:.0%} of the time."
        )
    if scene.waiting > slots:
        return (
            f"Workers take samples more slowly than engines caption them: {scene.waiting:,} wait "
            f"in Redis while slots are free for {scene.free:.0%} of the time. They need more CPU, "
            "or a faster way to Redis."
        )
    return ""


def _by_feeding(scene: _Scene) -> Limit:
    counts = scene.counts
    figures = {"free_lately": scene.free, "full_lately": scene.hindered}
    figures |= {"in_chunks": float(scene.to_feed), "in_flight": float(counts.in_flight)}
    if not scene.unfed:
        return Limit(
            "nothing", f"Nothing: the last {counts.in_flight:,} are on their way.", figures
        )
    if not scene.feeders:
        who = scene.none("feed", "feeder")
        return Limit("feeding", f"{who}, and there is more to feed.", figures)
    if scene.hindered >= HINDERED:
        return Limit("budget", _full(scene), figures)
    if not scene.working:
        return Limit("feeding", "Feeding: no sample has come to a stage yet.", figures)
    return Limit("feeding", "Feeding: engines have free slots and wait for samples.", figures)


def _full(scene: _Scene) -> str:
    """Name the budget that is fuller."""
    counts, most = scene.counts, scene.budget
    if _share(counts.bytes_in_flight, most.bytes) > _share(counts.in_flight, most.samples):
        part = f"{counts.bytes_in_flight:,} of {most.bytes:,.0f} bytes (budget.bytes)"
    else:
        part = f"{counts.in_flight:,} of {most.samples:,.0f} samples (budget.samples)"
    return f"The budget of Redis: {part} are in flight, and engines have free slots."


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _serves(worker: Member, stage: str) -> bool:
    """Whether it has an engine that runs for a stage."""
    up = _figure(worker, "slots", stage, 1.0) > 0
    return worker.state != "starting" and _is_for(worker, stage) and up


def _loads(worker: Member, stage: str) -> bool:
    """Whether one that does not serve a stage may do so soon."""
    word = _word(worker)
    return word in {"starting", "reloading"} or (word == "working" and _is_for(worker, stage))


def _is_for(worker: Member, stage: str) -> bool:
    """Whether it works at a stage; workers of earlier versions do not tell at which."""
    told = worker.facts.get("stages", "")
    return not (stage and told) or stage in told.split(", ")


def _word(worker: Member) -> str:
    return worker.state.partition(":")[0]


def _trouble(worker: Member) -> str:
    """What it says of its state beyond the word."""
    return worker.state.partition(":")[2].strip()[:QUOTED]


def _figure(worker: Member, name: str, stage: str, default: float = 0.0) -> float:
    """Give a figure for a stage, of workers whose stages have several engines; else the whole."""
    return worker.figures.get(f"{name}:{stage}", worker.figures.get(name, default))


def _mean(workers: Sequence[Member], figure: str, stage: str) -> float:
    """Average a share over the slots of the workers."""
    weights = [max(1.0, _figure(worker, "slots", stage, 1.0)) for worker in workers]
    shares = [_figure(worker, figure, stage) for worker in workers]
    total = sum(weights)
    return sum(w * s for w, s in zip(weights, shares, strict=True)) / total if total else 0.0
