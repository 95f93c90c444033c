"""What the code of an app logs, by the logging module or by structlog, is a line of the service's log."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from caas_trio.observing.applogs import carry_app_logs
from caas_trio.observing.logs import LogFormat, open_log

theirs = structlog.get_logger()


@pytest.fixture(autouse=True)
def carried(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    with carry_app_logs(open_log(LogFormat.JSON, "info").bind(worker=3)):
        yield


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(line.pop("worker") == 3 for line in lines)
    assert all(line.pop("timestamp") for line in lines)
    return lines


def test_records_of_the_logging_module(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("app.pool")
    logger.debug("too little")
    logger.info("opened %d", 4)
    logger.critical("100% lost")
    logger.log(25, "between the levels")
    logger.log(1, "below them all")
    assert told(capsys) == [
        {"event": "opened 4", "level": "info", "logger": "app.pool"},
        {"event": "100% lost", "level": "critical", "logger": "app.pool"},
        {"event": "between the levels", "level": "info", "logger": "app.pool"},
    ]


def test_a_record_with_wrong_arguments_is_logged_unformatted(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("app", logging.WARNING, "", 1, "opened %d", ("four",), None)
    [ours] = [each for each in logging.getLogger().handlers if type(each).__module__.startswith("caas_trio")]
    ours.handle(record)
    assert told(capsys) == [{"event": "opened %d ('four',)", "level": "warning", "logger": "app"}]


def test_a_record_without_a_level_is_debug(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handle(logging.LogRecord("app", 5, "", 1, "quiet", None, None))
    assert told(capsys) == []


def fail() -> None:
    raise ValueError("a")


def test_a_bug_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        fail()
    except ValueError as error:
        logging.getLogger("app").exception("failed")
        theirs.exception("failed")
        theirs.error("failed", exc_info=error)
        theirs.error("failed", exc_info=(ValueError, error, None))
    theirs.error("failed", exc_info=True)
    *four, none = told(capsys)
    assert [str(each["exception"]).splitlines()[-1] for each in four] == ["    ValueError: a"] * 4
    assert none == {"event": "failed", "level": "error"}


def test_structlog_events_keep_their_bound_values(capsys: pytest.CaptureFixture[str]) -> None:
    theirs.debug("too little")
    with structlog.contextvars.bound_contextvars(request=1):
        theirs.bind(user="me").warning("refused", why="100%")
    assert told(capsys) == [
        {"event": "refused", "level": "warning", "request": 1, "user": "me", "why": "100%"}
    ]


def test_warnings_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    [event] = told(capsys)
    assert event["logger"] == "py.warnings"
    assert "soon gone" in str(event["event"])
