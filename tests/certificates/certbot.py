#!/usr/bin/env python3
"""A stand-in for certbot: takes the arguments that it takes, and leaves files as it does."""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("command", choices=["certonly"])
for flag in ("standalone", "non-interactive", "agree-tos"):
    parser.add_argument(f"--{flag}", action="store_true", required=True)
for flag in ("email", "cert-name", "config-dir", "work-dir", "logs-dir"):
    parser.add_argument(f"--{flag}", required=True)
parser.add_argument("-d", "--domain", action="append", required=True)
for flag in ("staging", "force-renewal", "keep-until-expiring"):
    parser.add_argument(f"--{flag}", action="store_true")
given = parser.parse_args()

home = Path(os.environ["CERTBOT_HOME"])  # of the test
(home / "asked.json").write_text(json.dumps(vars(given)))
if (home / "fails").exists():
    print("Saving debug log to letsencrypt.log")
    print((home / "fails").read_text(), file=sys.stderr)
    sys.exit(1)
if not (home / "writes_nothing").exists():
    archive = Path(given.config_dir, "archive", given.cert_name)
    live = Path(given.config_dir, "live", given.cert_name)
    for folder in (archive, live):
        folder.mkdir(parents=True, exist_ok=True)
    for name, file in (("fullchain", "signed.pem"), ("privkey", "signed.key")):
        shutil.copyfile(home / file, archive / f"{name}1.pem")
        (live / f"{name}.pem").unlink(missing_ok=True)
        (live / f"{name}.pem").symlink_to(f"../../archive/{given.cert_name}/{name}1.pem")
