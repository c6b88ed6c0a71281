"""Wire: what a proxy and its clients say to each other, without I/O; see docs/protocol.md."""
