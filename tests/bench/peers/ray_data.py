"""Peer: Ray Data. Read, `map_batches` over a stub engine, write Parquet."""

from typing import Any

import numpy
import ray
from work import asked, caption

BATCH = 64


def captioned(batch: dict[str, Any]) -> dict[str, Any]:
    """Caption a batch of files."""
    texts = [caption(data) for data in batch["bytes"]]
    return {"id": batch["path"], "caption": numpy.array(texts, dtype=object)}


def seen(batch: dict[str, Any]) -> dict[str, Any]:
    """Caption a batch of decoded images: a digest of all pixels would cost more than of a file."""
    texts = [caption(numpy.ascontiguousarray(image)[0].tobytes()) for image in batch["image"]]
    return {"id": batch["path"], "caption": numpy.array(texts, dtype=object)}


def main() -> None:
    """Do it."""
    work = asked()
    ray.init(log_to_driver=False, include_dashboard=False)
    work = work.ready()
    ray.data.DataContext.get_current().enable_progress_bars = False
    read = ray.data.read_images if work.decode else ray.data.read_binary_files
    images = read(str(work.folder), include_paths=True)
    images.map_batches(seen if work.decode else captioned, batch_size=BATCH).write_parquet(
        str(work.out)
    )
    work.tell(lambda: ray.data.read_parquet(str(work.out)).count(), ray.__version__)


if __name__ == "__main__":
    main()
