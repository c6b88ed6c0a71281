"""Benchmarks: each prints one JSON document and one line. Run by hand, never by the tests.

Ratios within one run are what counts; machines differ and are noisy.
"""
