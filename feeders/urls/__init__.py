"""Source: tables of URLs."""

from feeders.urls.source import UrlsSource

__all__ = ["UrlsSource"]
