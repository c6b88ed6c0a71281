"""All benches by one command, and the table of docs/benchmarks.md made of what they say.

    python -m tests.bench --list
    python -m tests.bench [--only NAME …] [--quick] [--runs N] [--out FOLDER] [--markdown FILE]
                          [--peers FOLDER]

What each bench has found is kept in the folder of `--out`, a file each; the table is written from
all that is there, so that a bench which is run again leaves the others' rows as they are. Peers
are run where a folder for their venvs is given. A bench that fails stops no other.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import page
from tests.bench.suite import BENCHES, Options, chosen


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [bench.name for bench in BENCHES if bench.here]
    parser.add_argument("--list", action="store_true", help="name the benches, and run none")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="see that they run; no real figures")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a folder; one of its own by default")
    parser.add_argument("--markdown", type=Path, help="a page with the marks of the tables")
    parser.add_argument("--peers", type=Path, help="where venvs of peers are made and kept")
    parser.add_argument("--cache", type=Path, help="where images are made and kept")
    given = parser.parse_args()
    if given.quick and given.markdown:
        parser.error("--quick gives no figures for a page; leave out one of --quick and --markdown")
    options = Options(given.quick, given.runs, given.peers, given.cache)
    out = given.out or Path(tempfile.mkdtemp(prefix="bench-found-"))
    failed = 0
    for bench in chosen(given.only, options):
        if given.list:
            print(f"{bench.name}: {bench.what}")
            continue
        begun = time.monotonic()
        found = bench.run(options)
        page.keep(found, out)
        failed += bool(found.failure)
        said = "\n".join(page.said_by(found))
        print(f"{said}\n  ({bench.name}: {time.monotonic() - begun:.0f} s)", flush=True)
    if given.markdown and not given.list:
        page.write(given.markdown, page.kept(out))
    if not given.list:
        print(f"What they found is in {out}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
