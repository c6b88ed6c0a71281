"""Proxy: clients that mean harm, and what it costs others: nothing."""
