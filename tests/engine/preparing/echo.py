"""A process that sends back what it gets, at once or later, or ends as it is told."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from caption_flow.engine.preparing.parcel import receive, send

way = socket.socket(fileno=int(sys.argv[1]))
send(way, receive(way))
while True:
    try:
        word, *rest = receive(way)
    except EOFError:
        sys.exit()
    if bytes(word) == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if bytes(word) == b"hang":
        signal.pause()
    if bytes(word) == b"wait":
        for begun in rest[1:]:
            Path(bytes(begun).decode()).touch()
        time.sleep(float(bytes(rest[0])))
    send(way, [word, *rest])
