"""What processes say: one line a thing, on standard error."""

import logging
import time

# What moves cursors and rings bells: names and texts in a line may be strangers'.
_CONTROLS = {n: "\ufffd" for n in (*range(0x20), *range(0x7F, 0xA0)) if chr(n) not in "\n\t"}
_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


class _Plain(logging.Formatter):
    """Writes lines that a terminal only shows."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_CONTROLS)


def set_up(level: str) -> None:
    """Send log lines of at least this level to standard error, stamped in UTC."""
    handler = logging.StreamHandler()
    formatter = _Plain(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("caption_flow")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
