"""Bench: others that do the same work, each a script that runs in a venv of its own.

A script gets a folder of images and a place for its Parquet, and prints one JSON document: how many
captions it wrote, and the seconds of the work without its own start. Scripts import nothing of
ours, but `work.py` beside them.
"""
