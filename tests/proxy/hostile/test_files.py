"""A proxy may have as many files open as it lets connections in, whatever the system began with."""

import subprocess
import sys

TRIED = """
import resource
from caption_flow.proxy.files import allow
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
allow(700)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_files_are_as_many_as_connections():
    done = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, check=True, text=True)
    assert int(done.stdout) == 900
