"""Bench: the ceiling. The same bytes through Redis Streams with redis-py and nothing else.

One process adds images, another claims, reads, acks and deletes them; both in the fastest way
found: synchronous client, hiredis, pipelines of 8.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import redis

STREAM, GROUP = "raw", "g"
PIPELINE = 8
COUNT = 16
ENOUGH = 512  # images that may wait, so that the server's memory stays as small as the job's


def produce(url: str, folder: Path) -> None:
    """Add each file of the folder, which is warm in the page cache by now."""
    client = redis.Redis.from_url(url)
    pipe = client.pipeline(transaction=False)
    for added, path in enumerate(sorted(folder.glob("*/*.jpg")), start=1):
        pipe.xadd(STREAM, {"image": path.read_bytes()})
        if added % PIPELINE == 0:
            pipe.execute()
            while client.xlen(STREAM) > ENOUGH:
                time.sleep(0.001)
    pipe.execute()


def consume(url: str, count: int) -> None:
    """Claim, read, ack and delete so many images."""
    client = redis.Redis.from_url(url)
    done = 0
    while done < count:
        answer = client.xreadgroup(GROUP, "c", {STREAM: ">"}, count=COUNT, block=1000)
        entries = answer[0][1] if answer else []
        if entries:
            ids = [entry for entry, _ in entries]
            pipe = client.pipeline(transaction=False)
            pipe.xack(STREAM, GROUP, *ids)
            pipe.xdel(STREAM, *ids)
            pipe.execute()
            done += len(ids)


def raw_rate(url: str, folder: Path, count: int) -> float:
    """Images a second through both processes."""
    client = redis.Redis.from_url(url)
    client.flushall()
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    command = [sys.executable, "-m", "tests.bench.raw_loop", url, str(folder), str(count)]
    begun = time.monotonic()
    both = [subprocess.Popen([*command, part]) for part in ("produce", "consume")]
    for process in both:
        if process.wait() != os.EX_OK:
            raise SystemExit("The raw loop failed.")
    seconds = time.monotonic() - begun
    client.flushall()
    client.close()
    return count / seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("part", choices=["produce", "consume"])
    given = parser.parse_args()
    if given.part == "produce":
        produce(given.url, given.folder)
    else:
        consume(given.url, given.count)
