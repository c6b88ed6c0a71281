"""Command line: the operator's own command, once a worker has done its job."""

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import Process
from contextlib import suppress

from caption_flow.errors import CaptionFlowError
from caption_flow.lifecycle import Drain

END_SECONDS = 10.0  # for the hook, when we should end


class HookFailed(CaptionFlowError):
    """The operator's command could not do what it is for; all captions are settled."""


async def run_hook(hook: str | tuple[str, ...], drain: Drain) -> None:
    """Run what the operator wants to have run after us; HookFailed where it fails."""
    spelt = hook if isinstance(hook, str) else shlex.join(hook)
    try:
        process = await _start(hook)
    except OSError as exc:
        raise HookFailed(f"post_exec_hook ({spelt}) cannot be run: {exc}.") from exc
    code = await _ended(process, drain)
    if code:
        how = "was stopped with us, and" if drain.asked else "has"
        raise HookFailed(f"post_exec_hook ({spelt}) {how} ended with code {code}.")


async def _start(hook: str | tuple[str, ...]) -> Process:
    # A session of its own, so that a stop reaches it once, and all that it has started.
    if isinstance(hook, str):
        return await asyncio.create_subprocess_shell(hook, start_new_session=True)
    return await asyncio.create_subprocess_exec(*hook, start_new_session=True)


async def _ended(process: Process, drain: Drain) -> int:
    """Wait for its end, and pass a stop on to it."""
    ending = asyncio.create_task(process.wait())
    asked = asyncio.create_task(drain.wait())
    await asyncio.wait({ending, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not ending.done():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            await asyncio.wait({ending}, timeout=END_SECONDS)
    return await ending
