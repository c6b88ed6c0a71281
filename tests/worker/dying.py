"""A worker that dies of an image as a process does: at once, with all it holds.

    python -m tests.worker.dying decode|engine SHA256 ARGUMENTS OF `caption-flow worker`

It dies while it decodes the image, or while its engine has it.
"""

import hashlib
import os
import signal
import sys
from typing import Any

from caption_flow.cli.main import main
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.image import decode
from caption_flow.worker import prepare


def die_of(killer: str, where: str) -> None:
    """Let this process be killed by an image."""

    def look(data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() == killer:
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly_decode(data: bytes, **limits: Any) -> Any:
        look(data)
        return decode(data, **limits)

    async def deadly_caption(engine: SimulatedEngine, request: Request) -> Output:
        look(request.data)
        return await harmless(engine, request)

    if where == "decode":
        prepare.decode = deadly_decode  # type: ignore[assignment]
    else:
        harmless = SimulatedEngine.caption
        SimulatedEngine.caption = deadly_caption  # type: ignore[method-assign]


if __name__ == "__main__":
    _, where, killer, *rest = sys.argv
    die_of(killer, where)
    sys.argv = ["caption-flow", "worker", *rest]
    main()
