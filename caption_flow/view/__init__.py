"""View: the captions of a job, to be looked at in a browser by whoever sits at this host."""
