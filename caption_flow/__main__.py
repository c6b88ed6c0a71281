"""`python -m caption_flow` is `caption-flow`."""

from caption_flow.cli.main import main

if __name__ == "__main__":
    main()
