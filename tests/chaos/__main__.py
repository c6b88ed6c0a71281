"""Chaos, the command: runs it once, and says what came of it.

    python -m tests.chaos [--seed 7] [--samples 20000] [--kills 60]

Ends with 0 where the equation holds, with 1 where it does not.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.plan import Plan
from tests.chaos.report import chaos
from tests.chaos.run import Stalled


def main() -> int:
    """Run it in a folder of its own, or in the one that is named."""
    plan, place = _given()
    # So that nobody of the cast outlives us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended by a signal."))
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        try:
            report = chaos(plan, place or Path(temporary))
        except Stalled as exc:
            print(f"seed {plan.seed}: {exc}", flush=True)
            return 1
    print("\n".join(report.lines()))
    return 1 if report.complaints() else 0


def _given() -> tuple[Plan, Path | None]:
    defaults = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    told = {
        "seed": "what is done to whom, in which order",
        "samples": "images to caption",
        "kills": "processes to kill",
        "workers": "how many on Redis",
        "remote": "how many through proxies",
        "proxies": "how many",
        "image-bytes": "of an image, at least; at most 65,000",
        "feeders": "how many",
        "sinks": "how many",
        "flush": "how often Redis is emptied",
        "ungroup": "how often a group is destroyed",
        "failover": "how often a replica takes Redis' place",
        "migrate": "how often the slot of a lane goes to another master, on a cluster",
        "lanes": "of the job, on a cluster",
    }
    for name, what in told.items():
        parser.add_argument(
            f"--{name}", type=int, default=getattr(defaults, name.replace("-", "_")), help=what
        )
    parser.add_argument("--aof", choices=["everysec", "always"], default=defaults.aof)
    parser.add_argument("--cluster", action="store_true", help="on a Redis Cluster")
    parser.add_argument("--place", type=Path, help="work in this new folder, and leave it there")
    given = vars(parser.parse_args())
    place = given.pop("place")
    plan = Plan(**given)
    if plan.lanes > 1 and (plan.proxies or plan.remote or not plan.cluster):
        parser.error("--lanes needs --cluster --remote 0 --proxies 0")
    return plan, place


if __name__ == "__main__":
    sys.exit(main())
