"""Worker: all that one process does for a job, while its settings change.

The stages that are served here need one engine or several. Each has a Worker of its own around it,
so that none waits because samples for another fill the hands. Other settings are taken for the next
sample; where they need another engine, or another Worker, those that are there drain first.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import changes
from caption_flow.ear import Ear
from caption_flow.engine.port import Engine
from caption_flow.errors import ConfigError
from caption_flow.herald import Herald
from caption_flow.lifecycle import Drain
from caption_flow.patience import Interrupted, Patience
from caption_flow.quality import ready
from caption_flow.queue.ports import WorkJob, WorkQueue
from caption_flow.worker.consent import Consent
from caption_flow.worker.duty import Duty
from caption_flow.worker.hire import Hiring
from caption_flow.worker.post import SHARES, Post
from caption_flow.worker.references import References
from caption_flow.worker.served import Served, served
from caption_flow.worker.watch import Told, Watch

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # between two looks for other settings
COMPLAIN_SECONDS = 60.0  # between two words on what keeps us from work

_COUNTED = (
    *("samples", "captions", "failed", "declined", "images", "engine_deaths"),
    *("in_hand", "coming", "slots", "running", "claim_ahead", "in_flight", "complete_batch"),
    "preparers",
)
# Told for each stage, where not all stages have one engine. Proxies take no more than 100 figures
# from a worker, with names of at most 100 characters.
_OF_STAGES = ("in_hand", "coming", "slots", "running", "free_lately", "idle_lately")
_MOST_STAGES = 12
_LONGEST_STAGE = 80


class Outfit(Struct, frozen=True):
    """What is made for a crew, as it asks for it."""

    engine: Callable[[Broadcast, Served], Engine]
    queue: Callable[[str], WorkQueue]  # by the name of its consumer
    references: Callable[[Broadcast], References]


class Crew:
    """The engines of one process, each with its Worker."""

    def __init__(
        self,
        job: WorkJob,
        told: Told,
        outfit: Outfit,
        config: WorkerConfig,
        *,
        name: str,
        drain: Drain,
    ) -> None:
        self._job = job
        self._consent = Consent(config)
        self._told = self._consented(told)
        self._outfit = outfit
        self._config = config
        self._drain = drain
        self._patience = Patience(drain)
        self._watch = Watch(job, told.mark)
        self._ear = Ear(job, name=name, drain=drain)
        self._hiring = Hiring(
            outfit.queue, config, name=name, drain=drain, paused=lambda: self.paused
        )
        self._posts: dict[bytes, Post] = {}
        self._past: Counter[str] = Counter()  # figures of engines that are gone
        self._references = outfit.references(self._told.settings)
        self._reading = AsyncExitStack()
        self._failure: Exception | None = None  # the first that ended a Worker
        self._failed_to_open: Exception | None = None  # what came of the last engine that did not
        self._troubles: list[str] = []  # what keeps us from doing all that we should
        self._complained = 0.0  # on the monotonic clock

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        posts = list(self._posts.values())
        now = [post.figures for post in posts]
        known: list[Mapping[str, float]] = [self._past, *(post.past for post in posts), *now]
        total = {name: sum(one.get(name, 0) for one in known) for name in _COUNTED}
        total |= {name: _mean(filter(None, now), name) for name in SHARES}
        return total | dict(_by_stage(posts, now)) if len(posts) > 1 else total

    def facts(self) -> dict[str, str]:
        """Tell what runs here, and what went wrong last."""
        posts = list(self._posts.values())
        told = {
            "engine": _listed(post.engine.name for post in posts),
            "model": _listed(post.engine.model for post in posts),
            "stages": _listed(stage for post in posts for stage in post.stages),
        }
        failed = [post.last for post in posts if post.last is not None]
        if failed:
            lease, why = max(failed, key=lambda last: last[1].at)
            told["last_error"] = f"{lease.sample.id}: {why.reason}, {why.detail}"
            told["last_error_at"] = f"{why.at:.0f}"
        return told

    @property
    def sole(self) -> tuple[Broadcast, list[str]] | None:
        """The settings of now, and the stages of its engine; None where it has not just one."""
        posts = list(self._posts.values())
        return (self._told.settings, posts[0].stages) if len(posts) == 1 else None

    @property
    def paused(self) -> bool:
        """Whether operators want nothing to be claimed."""
        return self._ear.paused

    async def run(self, herald: Herald) -> None:
        """Work until asked to drain, until the job is done, or until an engine is gone."""
        async with self._ear:
            await self._serve(herald)

    async def _serve(self, herald: Herald) -> None:
        try:
            await self._begin()
            while not await self._is_over():
                herald.state = self._state
                await self._moment()
                if (other := await self._watch.other()) is not None:
                    herald.state = "reloading"
                    await self._follow(other)
                self._complain()
            await _relieve(self._posts.values())
        finally:
            await asyncio.gather(*(self._dismiss(key) for key in list(self._posts)))
            await self._reading.aclose()
        if self._failure is not None:
            raise self._failure

    @property
    def _state(self) -> str:
        held = [post.declining for post in self._posts.values() if post.declining]
        wanting = [*self._troubles, *self._declines, *held]
        if self._running() and not any(post.alive for post in self._posts.values()):
            return "reloading"
        does = "working" if self._running() or not wanting else "idle"
        return f"{does}: {wanting[0].splitlines()[0]}" if wanting else does

    async def _begin(self) -> None:
        """Start as the job says; what is wrong with that ends us."""
        needed = self._needed(self._config.stages)
        await self._reading.enter_async_context(self._references)
        for each in needed.values():
            # Of a job of others it is told what cannot be done here, and the rest is.
            await (self._try_to_open if self._consent.of_others else self._open)(each)
        if self._failed_to_open and not (self._posts or self._declines):
            raise self._failed_to_open
        await self._staff(needed)

    async def _is_over(self) -> bool:
        if self._drain.asked:
            return True
        if self._running():
            return False
        waits = bool(self._troubles or self._declines)
        if not (waits and self._config.exit_when_done):
            return not waits
        try:
            return (await self._patience(self._job.counts)).captions_done
        except Interrupted:
            return True

    async def _moment(self) -> None:
        """Wait a moment, or until a Worker ends."""
        if running := self._running():
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(running, timeout=LOOK_SECONDS, return_when=first)
        else:
            await self._drain.wait(LOOK_SECONDS)

    def _running(self) -> list["asyncio.Task[None]"]:
        return [post.running for post in self._posts.values() if post.running is not None]

    async def _follow(self, told: Told) -> None:
        """Go by other settings. Whoever ends does so before anything new is started."""
        told = self._consented(told)
        anew = any(c.needs == "worker" for c in changes(self._told.settings, told.settings))
        self._told = told
        self._troubles.clear()
        needed = self._still_needed()
        leaving = {key for key, post in self._posts.items() if not post.serves(needed.get(key))}
        kept = {key: each for key, each in needed.items() if key in self._posts.keys() - leaving}
        unfit = await self._adopt(kept)
        logger.info("The settings are of version %d now", told.version)
        await _relieve(self._posts[key] for key in self._posts if anew or key in {*leaving, *unfit})
        leaving |= {key for key in kept if not self._posts[key].up}
        for key in leaving:
            await self._dismiss(key)
        if anew:
            await self._reading.aclose()
            self._references = self._outfit.references(told.settings)
            await self._reading.enter_async_context(self._references)
        for key, each in needed.items():
            if key not in self._posts:
                await self._try_to_open(each)
        await self._staff({key: each for key, each in needed.items() if key not in unfit})

    def _consented(self, told: Told) -> Told:
        """Give settings as they are followed here."""
        return replace(told, settings=self._consent.follow(told.settings))

    @property
    def _declines(self) -> list[str]:
        return self._consent.declines(self._config.stages)

    def _needed(self, names: Sequence[str]) -> dict[bytes, Served]:
        named = names or [stage.name for stage in self._told.settings.stages]
        willing = [name for name in named if name not in self._consent.declined]
        if not willing:
            return {}
        needed = served(self._told.settings, willing, self._consent.overrides)
        return {each.key: each for each in needed}

    def _still_needed(self) -> dict[bytes, Served]:
        """Say what is needed for those of our stages that are left."""
        named = self._config.stages
        try:
            return self._needed(named)
        except ConfigError as exc:
            self._trouble(exc)
        left = [stage.name for stage in self._told.settings.stages if stage.name in named]
        with suppress(ConfigError):  # which was told
            return self._needed(left) if left else {}
        return {}

    async def _adopt(self, kept: Mapping[bytes, Served]) -> set[bytes]:
        """Let engines go on by other settings; answers those for which these are wrong."""
        unfit = set()
        for key, each in kept.items():
            duty = await self._duty(each)
            try:
                await _prepare_checks(each)
                await self._posts[key].rehearse(duty)
            except Exception as exc:  # of any kind: prompts and sampling are read by others
                self._trouble(exc)
                unfit.add(key)
            else:
                await self._posts[key].adopt(duty)
        return unfit

    async def _open(self, each: Served) -> None:
        """Start an engine, unless we should end; then it is left where it is."""
        if self._drain.asked:
            return
        await _prepare_checks(each)
        engine = self._outfit.engine(self._told.settings, each)
        self._posts[each.key] = Post(engine, each, failed=self._note_failure)
        logger.info("Loading the engine %s", engine.name)
        await self._drain.cut(engine.start())

    async def _try_to_open(self, each: Served) -> None:
        try:
            await self._open(each)
        except Exception as exc:  # of any kind: what models, drivers and plugins raise
            self._failed_to_open = exc
            self._trouble(exc)
            await self._dismiss(each.key)

    async def _staff(self, needed: Mapping[bytes, Served]) -> None:
        """Let a Worker begin wherever an engine has none."""
        for key, each in needed.items():
            post = self._posts.get(key)
            if post is None or post.running is not None:
                continue
            await post.relieve()  # of one that has ended by itself
            duty = await self._duty(each)
            if self._drain.asked:
                return
            engine, settings = post.engine, self._told.settings
            post.begin(self._hiring.hire(engine, settings, duty, self._references))
            logger.info("Captioning with %s, %d requests at once", engine.model, engine.capacity)

    async def _duty(self, each: Served) -> Duty:
        settings, former = self._told.settings, []
        order = [stage.name for stage in settings.stages]
        try:
            former = await self._patience(lambda: self._job.former_stages(order))
        except Interrupted as exc:  # so nothing will be done by it
            logger.warning("%s", exc)
        return Duty.of(settings, self._told.version, stages=each.stages, former=former)

    async def _dismiss(self, key: bytes) -> None:
        """Free an engine."""
        post = self._posts.get(key)
        if post is not None:
            await post.close()
            self._past.update(post.past)
            del self._posts[key]

    def _note_failure(self, exc: Exception) -> None:
        """End all, in good order, for what one Worker ended of."""
        self._failure = self._failure or exc
        self._drain.ask()

    def _trouble(self, exc: Exception) -> None:
        self._troubles.append(why := str(exc) or repr(exc))
        self._complained = time.monotonic()
        logger.error("These settings cannot be followed here. %s", why)

    def _complain(self) -> None:
        """Say from time to time what has not gone away by itself."""
        if self._troubles and time.monotonic() - self._complained >= COMPLAIN_SECONDS:
            self._complained = time.monotonic()
            logger.error("Waiting for other settings: %s", self._troubles[0])


def _mean(figures: Iterable[Mapping[str, float]], share: str) -> float:
    """Average a share over the slots of engines; alike, where none of them is up."""
    weighed = [(each["slots"], each[share]) for each in figures]
    if not any(slots for slots, _ in weighed):
        weighed = [(1.0, part) for _, part in weighed]
    total = sum(slots for slots, _ in weighed)
    return sum(slots * part for slots, part in weighed) / total if total else 0.0


def _by_stage(
    posts: Sequence[Post], figures: Sequence[Mapping[str, float]]
) -> Iterator[tuple[str, float]]:
    """Tell each stage's own figures: one may be full while another has nothing to do."""
    stages = [(s, each) for post, each in zip(posts, figures, strict=True) for s in post.stages]
    told = [(stage, each) for stage, each in stages if len(stage) <= _LONGEST_STAGE]
    for stage, each in told[:_MOST_STAGES]:
        for name in _OF_STAGES:
            yield f"{name}:{stage}", each.get(name, 0.0)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, names)))


async def _prepare_checks(each: Served) -> None:
    """Load what the checks of captions need, which takes seconds; ConfigError where it is not."""
    checks = [check for stage in each.stages for check in stage.quality]
    await asyncio.to_thread(ready, checks)


async def _relieve(posts: Iterable[Post]) -> None:
    await asyncio.gather(*(post.relieve() for post in posts))
