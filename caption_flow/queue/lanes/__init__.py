"""Queue: a job of several lanes, as compositions of what serves one lane.

A lane is a job of its own but for its settings, members and orders. A sample stays in its lane
from its chunk to its part, so that each script still touches the keys of one lane only.
"""
