# SPDX-License-Identifier: Apache-2.0
"""The log of the process: one JSON object a line, and in it nothing that a caller sent."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

LOGGER = "accord.service"
_LOGGERS = (LOGGER, "asyncio")
"""Ours, and that of the event loop, which would print whole tracebacks."""

REQUESTS = logging.getLogger(f"{LOGGER}.requests")

STANDARD_ERROR = "-"


class JSONLines(logging.Formatter):
    """Time, level, message, and the fields that came with it. No traceback: it could quote."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, separators=(",", ":"))


def start_logging(file: str, level: str) -> logging.Handler:
    """Lets the service write its log to ``file``, appending, or to standard error (``-``).

    Raises ``OSError``. What it returns is to be given to `stop_logging`.
    """
    handler: logging.Handler
    if file == STANDARD_ERROR:
        handler = logging.StreamHandler(sys.stderr)
    else:
        # Readable by its owner alone: it tells who asked when.
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = logging.FileHandler(Path(file), encoding="utf-8")
    handler.setFormatter(JSONLines())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level.upper() if name == LOGGER else logging.ERROR)
        logger.propagate = False
    return handler


def stop_logging(handler: logging.Handler) -> None:
    """The opposite of `start_logging`."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    handler.close()


def log_request(
    *, route: str, method: str, status: int, milliseconds: float, request: str, board: str
) -> None:
    """One line for one request. ``route`` is a template; of the board, its first digits."""
    if REQUESTS.isEnabledFor(logging.INFO):
        fields = {
            "route": route,
            "method": method,
            "status": status,
            "ms": round(milliseconds, 1),
            "request": request,
            "board": board[:8],
        }
        REQUESTS.info("request", extra={"fields": fields})
