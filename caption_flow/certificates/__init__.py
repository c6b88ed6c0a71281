"""Certificates: made, looked at, and loaded for TLS."""
