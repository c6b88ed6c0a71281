"""Engine `openai`: one request at one server, and what its failure means."""

import logging
import time
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from io import BytesIO

from PIL.Image import new as new_image

from caption_flow.config.vllm import Stage
from caption_flow.engine.openai.answer import read_models, read_output
from caption_flow.engine.openai.line import Line
from caption_flow.engine.openai.pace import Begun
from caption_flow.engine.openai.picture import data_url
from caption_flow.engine.openai.server import Server
from caption_flow.engine.openai.trouble import Busy, Cut, Down, Late, Refusal, Trouble
from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineFailed, EngineRefused

logger = logging.getLogger(__name__)

TRIES = 3  # spoilt answers of servers that work, until it is held against the sample
# Servers that went down with it inside, likewise. More, since its neighbours were inside as well.
MOST_CRASHES = 10
_TRIAL_PROMPT = "What is this?"
_TRIAL_SIDE = 64  # pixels
_LIST_SECONDS = 30.0
_MOST_SHOWN = 10  # models of a server
# Refused so, the server would not have any request; a server that has answered some may mean one.
_ABOUT_SERVER = frozenset({401, 402, 403, 404, 405, 410})
_ABOUT_REQUEST = frozenset({400, 413, 415, 422})


class Asked:
    """A request, and how its tries have gone."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.spoilt = 0
        self.crashes = 0
        self._urls: dict[int, str] = {}

    async def image_url(self, max_bytes: int) -> str | None:
        """Return its image as it is sent; None where the model is shown none."""
        if not (self.request.stage.image and self.request.data):
            return None
        if max_bytes not in self._urls:
            self._urls[max_bytes] = await data_url(self.request.data, max_bytes)
        return self._urls[max_bytes]


class Asker:
    """Asks servers, and tells whose fault a failure is."""

    def __init__(self, line: Line, stages: Sequence[Stage]) -> None:
        self._line = line
        self._stages = {stage.name: stage for stage in stages}

    async def ask(self, server: Server, asked: Asked, begun: Begun) -> Output | None:
        """Ask once; None where it may be tried again.

        Raises EngineRefused, EngineFailed, and BadImage for an image that cannot be sent.
        """
        stage = asked.request.stage
        url = await asked.image_url(server.endpoint.max_image_bytes)
        try:
            output = await self._say(server, stage, asked.request.system, asked.request.prompt, url)
        except Trouble as exc:
            await self._judge(server, asked, begun, exc)
            return None
        server.answered(stage.name, begun)
        return output

    async def trial(self, server: Server, stage: Stage) -> Trouble | None:
        """Ask what any server like it would answer; returns what is wrong with this one."""
        wanted = time.monotonic()
        async with server.trying:
            # As others have found meanwhile.
            if server.aside or server.resting:
                return Down("left alone for now")
            if server.has_worked_since(stage.name, wanted):
                return None
            begun = time.monotonic()
            server.take_turn()
            # Not as the request says, whose own sampling or text may be what is refused.
            stage = self._stages.get(stage.name, stage)
            try:
                url = _blank() if stage.image else None
                await self._say(server, stage, stage.system_prompt, _TRIAL_PROMPT, url)
            except Trouble as exc:
                _condemn(server, exc)
                return exc
            server.works(stage.name, begun)
            return None

    async def look_at_models(self, server: Server, stages: Sequence[Stage]) -> None:
        """Warn of a model that is not on the server's list; it may be there all the same."""
        url, seconds = f"{server.name}/models", min(_LIST_SECONDS, server.endpoint.timeout)
        reply = await self._line.send(
            "GET", url, server.headers, b"", seconds=seconds, secret=server.key
        )
        listed = read_models(reply, server.key)
        for model in dict.fromkeys(server.endpoint.model or stage.model for stage in stages):
            if listed and model not in listed:
                shown = ", ".join(listed[:_MOST_SHOWN])
                logger.warning('%s does not list "%s"; it lists %s', server.name, model, shown)

    async def _say(
        self, server: Server, stage: Stage, system: str | None, prompt: str, url: str | None
    ) -> Output:
        """Ask, and again in other words where the server does not know one of ours."""
        while True:
            spoken = server.dialect.version
            try:
                body = server.dialect.body(stage, system, prompt, url)
                output = await self._send(server, body)
            except Refusal as exc:
                done = server.dialect.learn(exc, stage)
                if done:
                    logger.warning("%s says: %s; %s", server.name, exc, done)
                if server.dialect.version == spoken:  # nor has another request taught it
                    raise
            else:
                server.dialect.answered(stage)
                return output

    async def _send(self, server: Server, body: bytes) -> Output:
        url, seconds = f"{server.name}/chat/completions", server.endpoint.timeout
        reply = await self._line.send(
            "POST", url, server.headers, body, seconds=seconds, secret=server.key
        )
        return read_output(reply, server.key)

    async def _judge(self, server: Server, asked: Asked, begun: Begun, why: Trouble) -> None:
        """Hold it against the server or the request, whichever it is."""
        match why:
            case Busy():
                server.busy(why, begun)
            case Down():
                server.down(why)
            case Refusal():
                await self._refused(server, asked, begun, why)
            case _:
                await self._spoilt(server, asked, begun, why)

    async def _refused(self, server: Server, asked: Asked, begun: Begun, why: Refusal) -> None:
        stage = asked.request.stage
        proven = server.is_proven(stage.name)
        if not proven and why.status in _ABOUT_SERVER:
            server.set_aside(why)
            return
        if (proven and why.status in _ABOUT_REQUEST) or await self._works(server, stage, begun):
            raise EngineRefused(f"{server.name} refuses: {why}")

    async def _spoilt(self, server: Server, asked: Asked, begun: Begun, why: Trouble) -> None:
        if isinstance(why, Late):
            server.slow_down(begun)
        if await self._works(server, asked.request.stage, begun):
            asked.spoilt += 1
        elif isinstance(why, Cut):
            asked.crashes += 1
        if asked.spoilt >= TRIES or asked.crashes >= MOST_CRASHES:
            raise EngineFailed(f"{server.name}: {why}")

    async def _works(self, server: Server, stage: Stage, begun: Begun) -> bool:
        """Tell by a trial whether the server does what it is there for."""
        trouble = await self.trial(server, stage)
        if isinstance(trouble, Busy):
            server.busy(trouble, begun)
        return trouble is None


def _condemn(server: Server, why: Trouble) -> None:
    """Hold a failed trial against its server; one that is busy has not failed."""
    if isinstance(why, Refusal):
        server.set_aside(why)
    elif not isinstance(why, Busy):
        server.down(why)


@cache
def _blank() -> str:
    out = BytesIO()
    new_image("RGB", (_TRIAL_SIDE, _TRIAL_SIDE), "gray").save(out, "JPEG")
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"
