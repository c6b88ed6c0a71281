"""Proxy: what its page shows of the job. Nothing is read while nobody looks."""
