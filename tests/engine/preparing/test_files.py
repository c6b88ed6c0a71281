"""An engine may hold as many prepared images as it has requests, whatever the system began with."""

import subprocess
import sys

TRIED = """
import asyncio, resource, socket
from caption_flow.engine.preparing.parcel import receive, send
from caption_flow.engine.preparing.pool import Preparers

async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    pool = Preparers(None, 1, slots=4, most=1, holds=400)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    held = []
    for number in range(400):
        send(here, [b"%d" % number])
        held += receive(there)
    print(*(bytes(frame).decode() for frame in held))
    await pool.close()

asyncio.run(main())
"""


def test_open_files_are_as_many_as_images_may_be_held():
    done = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, check=True, text=True)

    assert done.stdout.split() == [str(number) for number in range(400)]
