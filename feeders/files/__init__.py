"""Where the bytes of shards lie: on this host, behind HTTP, on the hub."""
