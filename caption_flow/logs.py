"""What processes say: one line a thing, on standard error."""

import logging
import time

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def set_up(level: str) -> None:
    """Send log lines of at least this level to standard error, stamped in UTC."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("caption_flow")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
