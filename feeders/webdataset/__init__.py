"""Source: tars of samples, as WebDataset and img2dataset write them."""

from feeders.webdataset.source import WebDatasetSource

__all__ = ["WebDatasetSource"]
