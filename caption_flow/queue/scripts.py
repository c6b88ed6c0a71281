"""Queue: the Lua scripts, each one guarded step of the flow. See lua/ for what they keep true."""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from caption_flow.queue.border import answers, translated

_FOLDER = files("caption_flow.queue") / "lua"
_WITH = re.compile("^-- WITH  ([a-z]+)$", re.MULTILINE)


class Scripts:
    """The scripts of lua/, by name, on one client."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._loaded: dict[str, tuple[str, str]] = {}  # text and SHA-1, by name

    async def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run a script; errors come translated."""
        text, digest = self._loaded.get(name) or self._load(name)
        with translated():
            try:
                return await self._client.evalsha(digest, len(keys), *keys, *args)
            except NoScriptError:  # so it was not run; the node of these keys learns it now
                return await self._client.eval(text, len(keys), *keys, *args)

    def _load(self, name: str) -> tuple[str, str]:
        text = text_of(name)
        # The server's name for it, no safeguard.
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._loaded[name] = text, digest
        return text, digest

    async def run_after(
        self, commands: Iterable[tuple[Any, ...]], name: str, keys: list[str], args: list[Any]
    ) -> Any:
        """Run a script in one transaction with plain commands before it.

        What these carry is not read by Lua, which hashes every byte that it is given: 64 KiB cost
        it as much as all else that is done to them.
        """
        pipe = self._client.pipeline(transaction=True)
        for command in commands:
            pipe.execute_command(*command)
        # The whole text: by its digest it would be refused by a server that was started anew,
        # while the commands before it are done.
        pipe.eval(text_of(name), len(keys), *keys, *args)
        return (await answers(pipe))[-1]


@cache
def text_of(name: str) -> str:
    """Read a script, after what it says on top that it is to be run with."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join([*map(text_of, _WITH.findall(text)), text])
