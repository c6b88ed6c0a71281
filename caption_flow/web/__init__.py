"""Web: pages over plain HTTP, for whoever looks at a job or at its captions with a browser."""
