"""Engine: servers elsewhere that speak OpenAI's protocol, one or a pool of them.

A request waits until a server has a slot for it (`pool`, `server`, `pace`), is written as that
server takes it (`dialect`, `picture`), sent (`line`) and its answer read (`answer`). What goes
wrong (`trouble`) is the server's fault or the request's, and where that is not plain a trial
question tells (`engine`).
"""

from caption_flow.engine.openai.engine import OpenaiEngine

__all__ = ["OpenaiEngine"]
