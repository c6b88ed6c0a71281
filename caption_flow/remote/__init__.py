"""Remote: the ports of the queue through a proxy, for processes that do not reach Redis."""
