"""Queue: the Lua scripts, each one guarded step of the flow. See lua/ for what they keep true."""

import re
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from caption_flow.queue.border import translated

_FOLDER = files("caption_flow.queue") / "lua"
_WITH = re.compile("^-- WITH  ([a-z]+)$", re.MULTILINE)


class Scripts:
    """The scripts of lua/, by name, on one client."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._loaded: dict[str, AsyncScript] = {}

    async def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run a script; errors come translated."""
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self._client.register_script(text_of(name))
        with translated():
            return await script(keys=keys, args=args)


def text_of(name: str) -> str:
    """Read a script, after what it says on top that it is to be run with."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join([*map(text_of, _WITH.findall(text)), text])
