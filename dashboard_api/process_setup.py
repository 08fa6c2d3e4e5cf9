"""What each process of the API sets up once: logs as one JSON object a line, and the garbage collector."""

import gc
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import TextIO

from dashboard_api.middleware.request_context import AccessLine, request_id

# The attributes of every LogRecord: all others were passed as `extra`.
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ENCODE = json.JSONEncoder(default=str, ensure_ascii=False).encode
# A thousand concurrent requests are tens of thousands of objects, which the default threshold of 700 had traversed again and again
# (docs/benchmarks.md). Only errors create cycles; this many of their objects, some megabytes, wait before they are freed.
_GC_THRESHOLDS = (50_000, 20, 50)


def tune_garbage_collector() -> None:
    """Tune the garbage collector: the API creates few cycles, and collections cost a third of a cached response.

    Call this once everything is loaded: objects that exist by now are never traversed again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def set_up_logs(*, is_buffered: bool = True, level: int = logging.INFO) -> None:
    """Send the process's logs to standard error as JSON lines.

    Args:
        is_buffered: write lines together from a thread; False where the process is to be forked.
        level: the lowest level that is logged.
    """
    handler = BufferedHandler(sys.stderr) if is_buffered else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # In no line, but a third of the cost of a record (Python's Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # The same for the position in the source.
    logging._srcfile = None  # noqa: SLF001 - as that HOWTO says
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The pool logs each retry during an outage; the router logs the outage once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """Format a record as one line. Tokens and keys are never logged, so that nothing needs masking here."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if isinstance(record.msg, AccessLine):
            return _access_line(record, record.msg)
        line = {
            "at": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _ENCODE(line)


def _access_line(record: logging.LogRecord, line: AccessLine) -> str:
    subject = "null" if line.subject is None else _ENCODE(line.subject)
    return (
        f'{{"at": "{_timestamp(record.created)}", "level": "info", "logger": "{record.name}", "message": "request", '
        f'"request_id": "{request_id.get()}", "method": "{line.method}", "path": {_ENCODE(line.path)}, '
        f'"status": {line.status}, "ms": {line.ms}, "subject": {subject}}}'
    )


def _timestamp(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}+00:00"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class BufferedHandler(logging.Handler):
    """Write lines together a few times a second, since one write for each is a tenth of a cached response's time.

    A warning or worse is written at once, with all lines before it; all are written when the process ends.

    Args:
        stream: where lines are written to.
        every_s: the longest that a line waits.
    """

    def __init__(self, stream: TextIO, *, every_s: float = 0.25) -> None:
        super().__init__()
        self._every_s = every_s
        self._stream = stream
        self._lines: list[str] = []
        self._closing = threading.Event()
        threading.Thread(target=self._flush_periodically, name="logs", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Buffer a record."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as in logging's own handlers: a failure to format must not fail a request
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            for chunk in _chunks(lines):
                self._stream.write(chunk)
                self._stream.flush()
        finally:
            self.release()

    def close(self) -> None:
        """Write the buffered lines, and stop the thread."""
        self._closing.set()
        self.flush()
        super().close()

    def _flush_periodically(self) -> None:
        while not self._closing.wait(self._every_s):
            self.flush()


def _chunks(lines: list[str]) -> Iterator[str]:
    """Yield whole lines, as many together as the system writes atomically: several workers share one pipe."""
    chunk: list[str] = []
    length = 0
    for line in lines:
        # A character takes up to four bytes.
        size = (len(line) if line.isascii() else 4 * len(line)) + 1
        if chunk and length + size > PIPE_BUF:
            yield "".join(chunk)
            chunk, length = [], 0
        chunk += (line, "\n")
        length += size
    if chunk:
        yield "".join(chunk)
