"""Reads a data set as strangers do.

In a process of its own, since the library looks at the environment only once.
"""

import json
import sys

import datasets

found = datasets.load_dataset(sys.argv[1], split="train")
print(
    json.dumps(
        {
            "rows": found.num_rows,
            "ids": found["id"][:3],
            "captions": found[0]["captions"],
            "features": sorted(found.features),
        }
    )
)
