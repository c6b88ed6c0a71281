"""What tests of a crew share: a process of workers, and engines that keep a diary."""

from collections.abc import Callable
from typing import Any

import pytest

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.quality import Check
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Engine
from caption_flow.errors import EngineUnfit
from caption_flow.fetch import Client
from caption_flow.herald import Herald
from caption_flow.lifecycle import Drain
from caption_flow.model import Lease
from caption_flow.worker.crew import Crew, Outfit
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from caption_flow.worker.served import Served
from caption_flow.worker.watch import Told
from tests.made import PATIENCE, jpeg, settings
from tests.roles import LastingQueue, Roles, until
from tests.worker.engines import CountingEngine

IMAGES = [jpeg(n) for n in range(30)]
SEE = Stage("see", "large", ("See.",), output_field="seen")
LIST = Stage("list", "large", ("List.",), output_field="listed")
KLINGON = Check(check="language", languages=("tlh",))
TELL = Stage("tell", "small", ("Tell.",), output_field="told", requires=("see",), image=False)


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings be looked for often."""
    monkeypatch.setattr("caption_flow.worker.crew.LOOK_SECONDS", 0.01)


class Unspoken(Exception):
    """Says nothing of itself, as many an error of a library does."""


class TellingEngine(CountingEngine):
    """Writes down when it starts and stops, with all others of its host."""

    def __init__(self, model: str, diary: list[str], capacity: int = 4) -> None:
        super().__init__(capacity)
        self.model = model
        self._diary = diary
        self.bad = ""  # start of a prompt that it will not have

    async def start(self) -> None:
        if self.model == "bad":
            raise EngineUnfit("There is no such model.\nIt has others.")
        if self.model == "worse":
            raise Unspoken
        self._diary.append(f"start {self.model}")

    async def rehearse(self, stage: Stage) -> None:
        if "wrong" in stage.prompts[0]:
            raise EngineUnfit("This prompt cannot be put into the template.")

    async def stop(self) -> None:
        self._diary.append(f"stop {self.model}")


class Host:
    """One process of workers on a job, with all the engines that it ever had."""

    connect: Callable[[], Client] = Client  # what fetches images

    def __init__(
        self,
        roles: Roles,
        make: Callable[[str, list[str]], Engine] = TellingEngine,
        drain: Drain | None = None,
        **config: Any,
    ) -> None:
        self.roles = roles
        self.diary: list[str] = []
        self.engines: list[Any] = []
        self.drain = drain or Drain()
        self.crew: Any = None
        self.herald: Any = None
        self._make = make
        self._config = WorkerConfig(**{"exit_when_done": True, "drain_timeout": PATIENCE, **config})

    async def run(self, name: str = "host") -> None:
        published = await self.roles.job.settings()
        assert published is not None
        self.crew = Crew(
            self.roles.job,
            Told.of(published),
            Outfit(
                engine=self._engine,
                queue=lambda consumer: LastingQueue(self.roles.job, name=consumer),
                references=lambda _: References(self.connect, Hub(), at_once=4, max_bytes=1 << 20),
            ),
            self._config,
            name=name,
            drain=self.drain,
        )
        self.herald = Herald(self.roles.job, role="worker", name=name, figures=self.crew.figures)
        await self.crew.run(self.herald)

    def _engine(self, _: Broadcast, needed: Served) -> Engine:
        engine = self._make(needed.stages[0].model, self.diary)
        self.engines.append(engine)
        return engine

    def is_idle(self) -> bool:
        return bool(self.herald) and self.herald.state.startswith("idle: ")

    async def captioned(self, count: int) -> None:
        await until(lambda: self.crew and self.crew.figures()["captions"] >= count)


async def publish(roles: Roles, *stages: Stage, **changes: Any) -> None:
    """Make these the settings of the job."""
    roles.told = settings(**({"stages": stages} if stages else {}), **changes)
    before = await roles.job.settings()
    if before is None:
        await roles.feed_queue().publish(roles.told.encode(), "pictures")
        return
    names = [stage.name for stage in roles.told.stages]
    document = roles.told.encode()
    assert await roles.job.reload(document, names, instead_of=before.version, by="me")


async def left(roles: Roles, stage: str) -> list[Lease]:
    """What another worker of a stage gets at once."""
    queue = await roles.work_queue()
    await queue.serve([stage], lease_seconds=60)
    return await queue.claim(1000)
