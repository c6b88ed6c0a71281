"""Worker: samples become captions."""
