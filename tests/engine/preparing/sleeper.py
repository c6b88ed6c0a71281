"""A process that takes as long for an image as the image says, and then refuses it.

So nobody has to have vLLM, whose inputs it cannot make.
"""

import socket
import sys
import time

import msgspec

from caption_flow.engine.preparing.child import Answer
from caption_flow.engine.preparing.parcel import receive, send

way = socket.socket(fileno=int(sys.argv[1]))
receive(way)
send(way, [msgspec.msgpack.encode(Answer())])
while True:
    try:
        _, image = receive(way)
    except EOFError:
        sys.exit()
    time.sleep(float(bytes(image)))
    send(way, [msgspec.msgpack.encode(Answer(refused="slept"))])
