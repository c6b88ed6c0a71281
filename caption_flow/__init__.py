"""caption-flow: images become captions, as a message-queue pipeline over Redis Streams."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caption_flow.export.opened import Captions

__all__ = ["__version__", "open_dataset"]

__version__ = "0.1.0"


def open_dataset(path: str | PathLike[str]) -> "Captions":
    """Open the captions of a job, by the folder of its parts, as in `caption_data/photos`.

    Gives each sample once, while the job runs or after it: as an iterator of rows, as Arrow batches
    or a pyarrow data set, for pandas, or as a `datasets.Dataset`. Raises StorageUnfit, a
    CaptionFlowError, where there are no finished parts or one cannot be read.
    """
    from caption_flow.export.opened import Captions  # noqa: PLC0415 - commands start without Arrow

    return Captions(path)
