"""The log as the admin socket shows it."""

from __future__ import annotations

import logging
import threading

import pytest

from cloudlink.server.administration.loglines import LogLines


@pytest.fixture
def lines():
    return []


@pytest.fixture
def soon():
    return []


@pytest.fixture
def logger(lines, soon):
    logger = logging.getLogger("cloudlink.test")
    handler = LogLines(lines.append, soon.append)
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield logger
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_a_line(logger, lines):
    logger.warning("%s said\nsomething\x1b", "bob")
    (line,) = lines
    assert (line["level"], line["logger"], line["text"]) == (
        "warning",
        "cloudlink.test",
        "bob said\\x0asomething\\x1b",
    )


def test_long_lines_are_cut(logger, lines):
    logger.error("x" * 10_000)
    assert len(lines[0]["text"]) == 2000


def test_a_traceback_comes_along(logger, lines):
    try:
        int("odd\x1b")
    except ValueError:
        logger.exception("failed")
    assert (
        lines[0]["traceback"].splitlines()[-1]
        == "ValueError: invalid literal for int() with base 10: 'odd\\x1b'"
    )


def test_lines_of_other_threads_wait_for_the_thread_of_the_server(logger, lines, soon):
    thread = threading.Thread(target=logger.info, args=("from elsewhere",))
    thread.start()
    thread.join()
    assert lines == []
    soon[0]()
    assert lines[0]["text"] == "from elsewhere"


def test_a_line_that_cannot_be_formatted_harms_nobody(lines, soon, capsys):
    record = logging.LogRecord("cloudlink.test", logging.ERROR, __file__, 1, "%d", ("no number",), None)
    LogLines(lines.append, soon.append).emit(record)
    assert lines == []
    assert "no number" in capsys.readouterr().err
