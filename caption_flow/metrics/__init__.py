"""Metrics: what a monitoring system asks of each process: figures, and whether it lives and works.

Read by Prometheus and what speaks its format; docs/metrics.md has every name.
"""
