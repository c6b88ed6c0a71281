"""Proxy: lets contributors in whom nobody knows, and gives them a narrow door to the queue."""
