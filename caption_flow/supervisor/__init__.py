"""Supervisor: the roles of a job as child processes, started, watched and ended together."""
