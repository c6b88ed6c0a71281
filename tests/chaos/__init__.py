"""Chaos: the whole system as processes, which are killed until everything is captioned.

    python -m tests.chaos --seed 7 --samples 20000 --kills 60

It ends on one equation over ids: what went in is captioned or dead, each once, and each caption
is that of its image. See docs/reliability.md.
"""
