"""Proxy: what a session does for each role, and what each may say."""
