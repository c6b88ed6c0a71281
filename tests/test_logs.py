"""What processes say is only shown by a terminal, whoever named what is in it."""

import logging

import pytest

from caption_flow import logs


def test_a_strangers_name_moves_no_cursor(capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("caption_flow")
    before = (logger.handlers[:], logger.level, logger.propagate)
    try:
        logs.set_up("info")
        logger.info("Gave up %s", "a\x1b[2J\r\x9bb.jpg")
    finally:
        logger.handlers[:], logger.level, logger.propagate = before

    assert capsys.readouterr().err.endswith("Gave up a\ufffd[2J\ufffd\ufffdb.jpg\n")
