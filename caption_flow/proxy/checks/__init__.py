"""Proxy: whether contributors tell the truth. Their captions are made again, or known before."""
