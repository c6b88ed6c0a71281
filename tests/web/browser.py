"""A real browser without a screen, driven over its DevTools protocol."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests import require
from tests.e2e.desk import wait_until

PATIENCE = 60.0  # seconds for anything that must happen, on however busy a machine
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Delete": 46}
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Wrong(Exception):
    """What a script in the page has thrown."""


class Tab:
    """One tab. What goes wrong in it, and all that it asks for, is written down."""

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self.errors: list[str] = []  # of the console, of scripts, of policies
        self.asked: list[str] = []  # URLs
        self.answers: dict[str, int] = {}  # the last status of each URL
        self._connection = connection
        self._session = session
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def say(self, method: str, **parameters: Any) -> Any:
        """Send a command, and wait for what it gives."""
        id_ = next(self._ids)
        answer = self._waiting[id_] = asyncio.get_running_loop().create_future()
        message = {"id": id_, "method": method, "params": parameters, "sessionId": self._session}
        await self._connection.send(json.dumps(message))
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def open(self, url: str) -> None:
        await self.say("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def do(self, script: str) -> Any:
        """Run an expression in the page; a promise is waited for."""
        told = await self.say(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise Wrong(told["exceptionDetails"]["exception"].get("description", told))
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        found = False
        try:
            async with asyncio.timeout(PATIENCE):
                while not found:
                    with suppress(Wrong):  # of a page that is being left
                        found = await self.do(f"Boolean({script})")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.do("document.body.innerText")
            raise AssertionError(f"waited in vain: {script}\n{self.errors}\n{shown}") from None
        return found

    async def text(self, selector: str) -> str:
        return str(await self.do(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def texts(self, selector: str) -> list[str]:
        all_ = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return list(await self.do(f"{all_}.map((one) => one.innerText)"))

    async def click(self, selector: str) -> None:
        await self.do(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, selector: str, text: str) -> None:
        """Write a text into an empty field, as a keyboard does."""
        field = f"document.querySelector({json.dumps(selector)})"
        await self.do(f"{field}.focus(), {field}.select()")
        if text:
            await self.say("Input.insertText", text=text)
        else:
            await self.press("Delete")

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.say(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=KEYS.get(key, ord(key[0].upper())),
                text={"Enter": "\r"}.get(key, "") if kind == "keyDown" else "",
            )

    async def choose(self, selector: str, value: str) -> None:
        field = f"document.querySelector({json.dumps(selector)})"
        await self.do(
            f"{field}.value = {json.dumps(value)}, {field}.dispatchEvent(new Event('change'))"
        )

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Give the window a size, and the system a theme."""
        await self.say(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.say("Emulation.setEmulatedMedia", features=[theme])

    async def photograph(self) -> bytes:
        """Give what can be seen, as a PNG."""
        return b64decode((await self.say("Page.captureScreenshot"))["data"])

    async def close(self) -> None:
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening

    async def _listen(self) -> None:
        async for message in self._connection:
            told = json.loads(message)
            if "id" in told and told["id"] in self._waiting:
                waiting = self._waiting.pop(told["id"])
                if "error" in told:
                    waiting.set_exception(Wrong(told["error"]["message"]))
                else:
                    waiting.set_result(told["result"])
            elif "method" in told:
                self._note(told["method"], told.get("params", {}))

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning"}:
            self.errors.append(str(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            entry = told["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Network.responseReceived":
            self.answers[told["response"]["url"]] = told["response"]["status"]


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """Start a browser with a profile of its own in a folder; gives its first tab."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    require(found, "chromium")
    assert found is not None
    flags = [
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        # As root there is no sandbox, nor much shared memory in a container.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--lang=en-US",
    ]
    process = await asyncio.to_thread(_started, [found, *flags, "about:blank"], folder)
    try:
        address = await asyncio.to_thread(_address, folder)
        async with connect(address, max_size=None, ping_interval=None, proxy=None) as connection:
            tab = await _first_tab(connection)
            try:
                yield tab
            finally:
                await tab.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait, PATIENCE)


def _started(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "HOME": str(folder)},
        )


def _address(folder: Path) -> str:
    """Wait until the browser says where it listens."""
    told = folder / "DevToolsActivePort"
    wait_until(
        lambda: told.exists() and len(told.read_text().split()) == 2,
        f"a browser: {(folder / 'log').read_text()}",
        PATIENCE,
    )
    port, path = told.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"


async def _first_tab(connection: ClientConnection) -> Tab:
    async def ask(id_: int, method: str, **parameters: Any) -> Any:
        await connection.send(json.dumps({"id": id_, "method": method, "params": parameters}))
        while True:
            told = json.loads(await connection.recv())
            if told.get("id") == id_:
                return told["result"]

    made = await ask(-1, "Target.createTarget", url="about:blank")
    session = await ask(-2, "Target.attachToTarget", targetId=made["targetId"], flatten=True)
    tab = Tab(connection, session["sessionId"])
    for domain in ("Page", "Runtime", "Log", "Network"):
        await tab.say(f"{domain}.enable")
    return tab
