"""Certificates: made, looked at, served and refused, with real handshakes."""
