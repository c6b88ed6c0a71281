"""Doctor, the Redis of a job: reached, fit to be used, and with room for the job.

What makes a server unfit, and what only hurts, is the queue's to say: see queue/fitness.py.
"""

import time

from msgspec import Struct

from caption_flow.config.sizes import spelt
from caption_flow.doctor.finding import Finding, ok, told
from caption_flow.errors import ConfigError, QueueUnfit, QueueUnreachable
from caption_flow.queue.binaries import find_binary
from caption_flow.queue.connect import Connections, check_server
from caption_flow.queue.fitness import ServerFacts, cramped, server_time

CHECK = "redis"


class Visited(Struct, frozen=True):
    """What there was to hear of a server."""

    findings: tuple[Finding, ...]
    fit: bool = False  # to be asked for a job
    ahead: float = 0.0  # seconds by which its clock is before ours


async def visit(connections: Connections, budget: int) -> Visited:
    """Ask a server what every role asks it; `budget`: bytes of the job."""
    try:
        facts = await check_server(connections.commands)
        ahead = await _ahead(connections)
    except QueueUnreachable as exc:
        return Visited((told(CHECK, "problem", exc, "Start it, or mend redis: or --redis."),))
    except QueueUnfit as exc:
        return Visited((told(CHECK, "problem", exc, "Use another server."),))
    return Visited(tuple(_findings(connections.host, facts, budget)), fit=True, ahead=ahead)


def _findings(host: str, facts: ServerFacts, budget: int) -> list[Finding]:
    sentences = filter(None, (*facts.warnings, cramped(facts, budget)))
    found = [told(CHECK, "warning", sentence, "See docs/reliability.md.") for sentence in sentences]
    memory = f"{spelt(facts.maxmemory)} of memory" if facts.maxmemory else "memory without a limit"
    return found or [ok(CHECK, f"{host} is {facts.name}, keeps its data on disk, has {memory}.")]


async def _ahead(connections: Connections) -> float:
    before = time.time()
    there = await server_time(connections.commands)
    return there - (before + time.time()) / 2


def own_server() -> Finding:
    """Look for a server that `run` and `orchestrator` would start."""
    try:
        binary = find_binary()
    except QueueUnfit as exc:
        return told(CHECK, "problem", exc, "Install one.")
    name = f"{binary.flavour.capitalize()} {'.'.join(map(str, binary.version))}"
    said = f"None is configured; run and orchestrator start {name}, {binary.path}."
    return ok(CHECK, said)


def mistaken(error: ConfigError) -> Finding:
    """Tell of a URL that is none."""
    return told(CHECK, "problem", error, "Write redis://HOST:PORT.")
