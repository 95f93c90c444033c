"""The log output of an app, sent to the service's own log: `carry_app_logs`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.typing import FilteringBoundLogger

#: The levels that structlog knows, the highest first.
_LEVELS: Final = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


@contextmanager
def carry_app_logs(log: FilteringBoundLogger) -> Iterator[None]:
    """Send all that the logging module or structlog logs to `log`, until the block ends.

    That includes warnings. What the app configures itself replaces this.
    """
    root = logging.getLogger()
    level, handler = root.level, _Forwarder(log)
    root.addHandler(handler)
    root.setLevel(log.get_effective_level())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _forwarder(log)],
        wrapper_class=structlog.make_filtering_bound_logger(log.get_effective_level()),
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.setLevel(level)
        root.removeHandler(handler)


class _Forwarder(logging.Handler):
    """Forwards records of the logging module."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments do not fit the message
            event = f"{record.msg} {record.args}"
        bug = {"exc_info": record.exc_info} if record.exc_info else {}
        level = next((each for each in _LEVELS if each <= record.levelno), logging.DEBUG)
        self._log.log(level, event, logger=record.name, **bug)


def _forwarder(log: FilteringBoundLogger) -> structlog.typing.Processor:
    def forward(_: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        text = event.pop("event", "")
        match event.pop("exc_info", None):
            case BaseException() as error:
                event["exc_info"] = (type(error), error, error.__traceback__)
            case tuple() as given:
                event["exc_info"] = given
            case given if given and sys.exc_info()[1] is not None:
                event["exc_info"] = sys.exc_info()
        getattr(log, name)(str(text), **event)
        raise structlog.DropEvent

    return forward
