"""Benchmarks: each prints one JSON document and one line. All by `python -m tests.bench`.

Run by hand; the tests only see that they begin. Ratios within one run are what counts; machines
differ and are noisy.
"""
