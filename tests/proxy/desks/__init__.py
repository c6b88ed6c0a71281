"""Proxy: what each role may say and is answered."""
