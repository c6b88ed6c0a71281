"""Compare the captions of a job with the truth: `score.py PARTS CAPTIONS_JSON [--show N]`."""

import argparse
import json
from pathlib import Path

import pyarrow.dataset as ds


def main() -> None:
    """Print some captions and the share that is exactly right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", type=Path, help="folder of Parquet files")
    parser.add_argument("truth", type=Path, help="JSON object: sample id -> caption")
    parser.add_argument("--show", type=int, default=0, help="captions to print")
    arguments = parser.parse_args()

    truth = json.loads(arguments.truth.read_text(encoding="utf-8"))
    rows = ds.dataset(arguments.parts).to_table(columns=["id", "captions"]).to_pylist()
    captions = {row["id"]: row["captions"] for row in rows}
    for name in sorted(captions)[:: max(1, len(captions) // (arguments.show or 1))][
        : arguments.show
    ]:
        print(f"  {name}: {captions[name][0]}")
    exact = sum(captions.get(name) == [caption] for name, caption in truth.items())
    print(f"{len(rows)} rows, {exact} of {len(truth)} exactly right ({exact / len(truth):.1%}).")


if __name__ == "__main__":
    main()
