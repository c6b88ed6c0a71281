"""Sink: captions become a Parquet data set."""
