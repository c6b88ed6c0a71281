"""Chaos, one run: the cast works, mischief is done at a steady pace, and the job must be done."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tests.chaos import contributors, mischief
from tests.chaos.cast import Actor, Cast
from tests.chaos.cluster import ClusterServer
from tests.chaos.estate import Estate
from tests.chaos.images import Fed
from tests.chaos.line import Line
from tests.chaos.mischief import Deed, Pace
from tests.chaos.parts import Parts
from tests.chaos.plan import Plan
from tests.chaos.server import JOB, Server
from tests.e2e.desk import settings
from tests.e2e.jobs import GROUPS
from tests.redis_server import free_port

TICK = 0.05  # seconds between two looks
LOOK = 0.25  # seconds between two questions to Redis
BUSY = 4.0  # seconds that a kill waits at most, for its worker to have something in hand
STALL = 90.0  # seconds without progress that are a failure

_SLOTS = 96  # of all workers together
_UP = 0.7  # of the time, about, a worker has its slots full


def _server(plan: Plan, folder: Path) -> Server | ClusterServer:
    if plan.cluster:
        return ClusterServer(folder, plan.lanes)
    return Server(folder, plan.aof, with_replica=plan.failover > 0)


class Ending(Struct, frozen=True):
    """How a run ended."""

    seconds: float
    deeds: Counter[tuple[str, str]]  # done, and to whom
    books: dict[str, int]
    credited: Counter[str]  # captions of each contributor, as Redis counts them
    falls: list[str]  # who ended unasked
    estate: Estate  # what workers left that were killed


class Stalled(Exception):
    """The run came to no end; says what stood where."""


class Run:
    """One run over a folder of images."""

    def __init__(self, plan: Plan, fed: Fed, place: Path) -> None:
        self._plan = plan
        self._fed = fed
        self.parts = Parts(place / "out" / JOB)
        self.server = _server(plan, place / "redis")
        self.estate = Estate(self.server.job)
        self._place = place
        self._ports = [free_port() for _ in range(plan.proxies)]
        self._line = Line(self._ports, plan.seed)
        self._books: dict[str, int] = {}
        self._rows = 0
        self._asked_at = 0.0
        self._progress: tuple[object, float] = (None, time.monotonic())
        self._ends_at = time.monotonic() + 300.0 + 3 * plan.seconds

    def run(self) -> Ending:
        begun = time.monotonic()
        self.server.start()
        self._line.start()
        self._cast = Cast(self._plan.cast, self._words, self._place / "roles")
        try:
            self._do_mischief()
            self._until(self._is_over)
            seconds = time.monotonic() - begun
            self._cast.leave()
        finally:
            self._cast.close()
            self._line.close()
        done = self._cast.done + self.server.done + self._line.done
        job = self.server.job
        credited = contributors.credited(job)
        return Ending(seconds, done, job.counts(), credited, self._cast.falls, self.estate)

    def _do_mischief(self) -> None:
        deeds = self._plan.deeds()
        pace = Pace(self._fed.count, len(deeds))
        for deed in deeds:
            self._until(lambda: pace.is_due(self._rows) or self._is_over())
            if self._is_over():
                return  # nothing is left to be disturbed, and no deed counts any more
            self._do(deed)
            pace.step()

    def _do(self, deed: Deed) -> None:
        self.estate.suffer(deed)
        match deed.whom:
            case mischief.REDIS:
                self.server.suffer(deed)
            case mischief.LINE:
                self._line.suffer(deed)
            case _:
                victim = self._cast.victim(deed)
                # While Redis is paused, nobody can say what a worker holds.
                if (deed.what, victim.role) == ("kill", "worker") and not self.server.is_paused:
                    victim = self._busy(deed)
                    self.estate.note(victim.pid)
                self._cast.suffer(deed, victim)

    def _busy(self, deed: Deed) -> Actor:
        """Wait until the worker that is to die has something to leave: else its death is none."""
        until = time.monotonic() + BUSY

        def holds() -> bool:
            return bool(self.estate.held_by(self._cast.victim(deed).pid))

        self._until(lambda: holds() or time.monotonic() > until or self._is_over())
        return self._cast.victim(deed)

    def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.server.tend()
            self._cast.tend(is_fed=self._is_fed)
            if not self.server.is_paused and time.monotonic() > self._asked_at + LOOK:
                self._look()
            time.sleep(TICK)

    def _look(self) -> None:
        """Ask for the books; complain where they stand still."""
        self._books = self.server.job.counts()
        self._rows = self.parts.rows()
        self._asked_at = now = time.monotonic()
        stands = (self._books, self._rows)
        if stands != self._progress[0] or not self._books:  # roles take their time to begin
            self._progress = (stands, now)
        if now > self._progress[1] + STALL:
            raise Stalled(f"Nothing has moved for {STALL:.0f} s.\n{self.standing()}")
        if now > self._ends_at:
            raise Stalled(f"It took too long.\n{self.standing()}")

    @property
    def _is_fed(self) -> bool:
        books = self._books
        return bool(books.get("plan_done")) and books.get("planned") == books.get("offered", 0)

    def _is_over(self) -> bool:
        """Whether all is settled, nothing is in Redis, and each part has its name."""
        books = self._books
        return (
            not self.server.is_paused
            and self._is_fed
            and self._cast.feeders_are_done
            and books.get("planned") == books.get("captioned", 0) + books.get("dead", 0)
            and not self.parts.hidden
            and not any(self.server.job.lengths().values())
        )

    def standing(self) -> str:
        """What stands where."""
        job, parts = self.server.job, self.parts
        lines = [
            f"books    {self._books}",
            f"streams  {job.lengths()}",
            *(f"held     {name}: {job.pending(name)}" for name in GROUPS),
            f"parts    {len(parts.published)} of {self._rows} rows, hidden {parts.hidden}",
            f"members  {sorted(job.members())}",
            f"falls    {self._cast.falls[-5:]}",
        ]
        for actor in self._cast.actors:
            lines.append(f"{actor.name}, on {actor.is_on}, started {actor.starts} times")
            lines += [f"    {line}" for line in actor.last_lines(8)]
        return "\n".join(lines)

    def _words(self, role: str, number: int) -> tuple[str, ...]:
        """The command of a role's n-th."""
        common = ("--redis", self.server.url, "--job", JOB, "--verbose")
        given = (*common, "--data-dir", str(self.parts.folder.parent), *self._settings())
        match role:
            case "feed":
                return ("feed", str(self._place / "images"), *given)
            case "sink":
                return ("sink", *given)
            case "proxy":
                document = contributors.document(self._place / "proxy.yaml")
                where = ("--host", "127.0.0.1", "--port", str(self._ports[number]))
                return ("proxy", *common, "--config", str(document), *where)
            case "remote":
                way = ("--server", f"ws://127.0.0.1:{self._line.port}")
                who = ("--token", contributors.token(number), "--name", f"remote-{number}")
                return ("worker", *way, *who, "--verbose")
        return ("worker", *common)

    def _settings(self) -> tuple[str, ...]:
        """Small chunks, parts and leases, so that whoever dies holds a piece of the whole."""
        workers = max(1, self._plan.workers + self._plan.remote)
        latency = _UP * _SLOTS * self._plan.seconds / self._fed.count
        return settings(
            lanes=self._plan.lanes,
            engine="simulated",
            simulated__latency=f"[{latency / 2:.3f}, {latency * 1.5:.3f}]",
            simulated__decode="true",
            vllm__batch_size=max(1, _SLOTS // workers),
            lease_seconds=2,
            # With the usual three, one good image in some hundred thousand would be alone in the
            # hands of three workers that die: here each lives for a quarter of a minute.
            max_attempts=6,
            chunk_size=100,
            budget__samples=1500,
            storage__rows_per_part=200,
            storage__seconds_per_part=5,
        )
