"""A process that sends back what it gets, and starts only where a file is left for it to take.

What stands in the file are the seconds until it does.
"""

import os
import runpy
import sys
import time
from pathlib import Path

for file in Path(os.environ["MAY_START"]).iterdir():
    late = float(file.read_text() or 0.0)
    file.unlink()
    time.sleep(late)
    runpy.run_module("tests.engine.preparing.echo")
sys.exit(1)
