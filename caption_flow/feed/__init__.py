"""Feed: a source becomes chunks, and chunks become samples in the queue."""
