"""Remote: the ports of the queue, over a WebSocket to a proxy."""
