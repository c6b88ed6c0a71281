"""Proxy: who may come in."""
