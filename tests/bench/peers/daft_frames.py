"""Peer: Daft. List, download, a function over a stub engine, write Parquet."""

import daft
import numpy
from work import asked, caption


@daft.func.batch(return_dtype=daft.DataType.string())
def captioned(files: daft.Series) -> list[str]:
    """Caption a batch of files."""
    return [caption(data) for data in files.to_pylist()]


@daft.func.batch(return_dtype=daft.DataType.string())
def seen(images: daft.Series) -> list[str]:
    """Caption a batch of decoded images: a digest of all pixels would cost more than of a file."""
    return [caption(numpy.ascontiguousarray(image[0]).tobytes()) for image in images.to_pylist()]


def main() -> None:
    """Do it."""
    work = asked().ready()
    files = daft.from_glob_path(f"{work.folder}/**/*.jpg").select("path")
    data = daft.col("path").download()
    told = seen(data.decode_image()) if work.decode else captioned(data)
    written = files.select(daft.col("path").alias("id"), told.alias("caption"))
    written.write_parquet(str(work.out))
    work.tell(lambda: daft.read_parquet(f"{work.out}/*.parquet").count_rows(), daft.__version__)


if __name__ == "__main__":
    main()
