"""Proxy: who may come in, and what each contributor may have. It knows nothing of sessions."""
