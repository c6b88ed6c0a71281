"""Which column of a table holds its images, and which are carried along."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
from msgspec import Struct

from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import ConfigError
from caption_flow.model import Columns
from feeders.huggingface.features import Feature, binary_columns, features, image_columns, worded
from feeders.tables import Table
from feeders.tables.values import carried

FILE_NAME = "file_name"  # of a table beside image files
_DEFAULT = SourceOptions(path="").image_column
_DEFAULT_URL = SourceOptions(path="").url_column
_USUAL = ("url", "URL", "link")  # columns of URLs, where none is named

# "cells": images, or paths of image files. "urls": text that says where images are on the web.
Kind: TypeAlias = Literal["cells", "urls"]


class Choice(Struct, frozen=True):
    """What is read of a table."""

    image: str
    kind: Kind
    carried: tuple[str, ...]
    features: dict[str, Feature]

    @property
    def asked(self) -> tuple[str, ...]:
        """All columns to read."""
        return tuple(dict.fromkeys((self.image, *self.carried)))

    def columns(self, row: Mapping[str, Any]) -> Columns:
        """Give what a sample carries of its row."""
        said = self.features
        return carried({name: worded(row[name], said.get(name)) for name in self.carried})


def schema_of(table: Table) -> "pa.Schema | None":
    """Give a table's schema, where its format has one."""
    return getattr(table, "schema", None)


def choose(table: Table, where: str, options: SourceOptions) -> Choice:
    """Find the images of a table, or say which columns it has."""
    image, kind = _image(table, where, options)
    carried = _carried(table, where, options, image)
    return Choice(image, kind, carried, features(schema_of(table)))


def image_leaf(table: Table, column: str) -> str | None:
    """Name what holds the bytes of images, in Parquet's words; None where that are files."""
    schema = schema_of(table)
    if schema is None:
        return None
    if column in binary_columns(schema):
        return column
    return f"{column}.bytes" if column in image_columns(schema) else None


def _image(table: Table, where: str, options: SourceOptions) -> tuple[str, Kind]:
    if options.image_column in table.columns:
        return options.image_column, "cells"
    found = image_columns(schema_of(table)) if options.image_column == _DEFAULT else []
    if len(found) > 1:
        raise ConfigError(
            f"{where} has several columns of images: {', '.join(found)}. Name one of them as "
            "dataset_image_column."
        )
    if found:
        return found[0], "cells"
    if url := _url_column(table.columns, options.url_column):
        return url, "urls"
    if FILE_NAME in table.columns and options.image_column == _DEFAULT:
        return FILE_NAME, "cells"
    raise ConfigError(
        f'{where} has neither a column "{options.image_column}" nor "{options.url_column}". It '
        f"has: {', '.join(table.columns) or 'none'}. Name the one with the images as "
        "dataset_image_column, or the one with their URLs as dataset_url_column."
    )


def _url_column(columns: Sequence[str], asked: str) -> str | None:
    if asked in columns:
        return asked
    usual = [name for name in _USUAL if name in columns]
    return usual[0] if asked == _DEFAULT_URL and len(usual) == 1 else None


def _carried(table: Table, where: str, options: SourceOptions, image: str) -> tuple[str, ...]:
    if options.columns is None:
        schema = schema_of(table)
        # Other images are bytes, which no column of a sample can hold, and long to read.
        left_out = {image, *image_columns(schema), *binary_columns(schema)}
        return tuple(name for name in table.columns if name not in left_out)
    unknown = _unknown(options.columns, table.columns)
    if unknown:
        raise ConfigError(
            f"columns names {', '.join(unknown)}, which {where} does not have. It has: "
            f"{', '.join(table.columns)}."
        )
    return tuple(name for name in options.columns if name != image)


def _unknown(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    return [name for name in asked if name not in known]


def is_url(value: Any) -> bool:
    """Whether what should be an image is where one is on the web."""
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))
