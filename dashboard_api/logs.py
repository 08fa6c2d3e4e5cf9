"""Logs as one JSON object a line, with the request's id: for machines, and for grep."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO

from dashboard_api.request_context import request_id

# What a plain LogRecord has: everything else was given as `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ENCODE = json.JSONEncoder(default=str, ensure_ascii=False).encode


class JsonFormatter(logging.Formatter):
    """One record as one line. Tokens and keys are never logged, so none has to be found and masked here."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _ENCODE(line)


class GatheringHandler(logging.Handler):
    """Writes lines a few times a second together, since one write each is a tenth of a cached answer's time.

    A warning or worse is written at once, with all that came before it; so is everything when the process ends.

    Args:
        stream: where to.
        every_s: how long a line may wait.
    """

    def __init__(self, stream: TextIO, *, every_s: float = 0.25) -> None:
        super().__init__()
        self._every_s = every_s
        self._stream = stream
        self._lines: list[str] = []
        self._closing = threading.Event()
        threading.Thread(target=self._keep_flushing, name="logs", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record in."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as logging's own handlers: a line that can't be formed must not end a request
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
        finally:
            self.release()

    def close(self) -> None:
        """Write what was gathered, and gather no more."""
        self._closing.set()
        self.flush()
        super().close()

    def _keep_flushing(self) -> None:
        while not self._closing.wait(self._every_s):
            self.flush()


def set_up_logs(*, level: int = logging.INFO) -> None:
    """Send the process's logs to standard error as JSON lines."""
    handler = GatheringHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Not in any line, and a third of what it costs to make one (Python's Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Its pool says each retry of an outage; the router says the outage once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
