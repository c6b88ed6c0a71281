"""Audit: what source, Redis and parts say of a job, compared and mended; contributors revoked."""
