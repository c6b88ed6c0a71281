"""Proxy: contributors that are checked."""
