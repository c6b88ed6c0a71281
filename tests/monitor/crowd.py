"""A job with many workers, of which all have just said a word."""

import time

from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Member

FIGURES = ("samples", "captions", "failed", "declined", "images", "in_hand", "engine_deaths")
SHARES = ("free_share", "idle_share", "free_lately", "idle_lately")
FACTS = {"gpu": "NVIDIA H100 80GB HBM3", "model": "Qwen/Qwen2.5-VL-7B-Instruct", "driver": "570.1"}


def worker(number: int, captions: float = 0.0) -> Member:
    """One of many, that has made so many captions."""
    now = time.time()
    counted = dict.fromkeys(FIGURES, captions + number) | dict.fromkeys(SHARES, 0.0123)
    return Member(
        role="worker",
        name=f"node{number // 8:03}-gpu{number % 8}-{number:06x}",
        host=f"node{number // 8:03}.cluster.example",
        pid=1000 + number,
        started=now - 3600,
        seen=now,
        state="working",
        figures=counted | {"slots": 256.0, "running": 250.0},
        facts=FACTS,
    )


async def beat_all(job: RedisJob, count: int, captions: float = 0.0) -> None:
    """Let so many workers leave a word."""
    for number in range(count):
        await job.beat(worker(number, captions))
