"""Tests of the proxy: real frames over a real socket, on a real Redis."""
