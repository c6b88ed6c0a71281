"""Data set: Arrow without pandas, also where that is installed.

Arrow asks pandas of every list what that is, and loads it for that: 0.4 s of CPU and 50 MiB.
"""

import sys
from importlib.abc import MetaPathFinder


class _Absent(MetaPathFinder):
    """Lets pandas be as if it were not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not wanted here", name=name)


def without_pandas() -> None:
    """Do without pandas in this process, which must be ours alone."""
    # Not by None in `sys.modules`: Arrow, compiled by Cython, takes that for pandas.
    sys.meta_path.insert(0, _Absent())
