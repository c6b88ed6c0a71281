"""`caption-flow` in processes of their own that need not import it first.

Most of what a start of the command takes is imports. `python -m tests.warm` does them once, and
forks itself for each start that is asked for: what is forked is in a session, a folder and an
environment of its own, and from there on does what `python -m caption_flow` does.

What a role imports itself, a death as it imports, and how Python ends are not seen so: they are in
`tests/e2e/test_cold.py` and in other tests that ask for a start that is `cold`.
"""
