"""Logs as one JSON object a line, with the request's id: for machines, and for grep."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import TextIO

from dashboard_api.request_context import AccessLine, request_id

# What a plain LogRecord has: everything else was given as `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ENCODE = json.JSONEncoder(default=str, ensure_ascii=False).encode


class JsonFormatter(logging.Formatter):
    """One record as one line. Tokens and keys are never logged, so none has to be found and masked here."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        if isinstance(record.msg, AccessLine):
            return _access_line(record, record.msg)
        line = {
            "at": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _ENCODE(line)


def _access_line(record: logging.LogRecord, line: AccessLine) -> str:
    subject = "null" if line.subject is None else _ENCODE(line.subject)
    return (
        f'{{"at": "{_moment(record.created)}", "level": "info", "logger": "{record.name}", "message": "request", '
        f'"request_id": "{request_id.get()}", "method": "{line.method}", "path": {_ENCODE(line.path)}, '
        f'"status": {line.status}, "ms": {line.ms}, "subject": {subject}}}'
    )


def _moment(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}+00:00"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


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
            for piece in _pieces(lines):
                self._stream.write(piece)
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


def _pieces(lines: list[str]) -> Iterator[str]:
    """Whole lines, as many together as the system writes in one go: several workers share one pipe."""
    piece: list[str] = []
    length = 0
    for line in lines:
        # A character may take four bytes.
        size = (len(line) if line.isascii() else 4 * len(line)) + 1
        if piece and length + size > PIPE_BUF:
            yield "".join(piece)
            piece, length = [], 0
        piece += (line, "\n")
        length += size
    if piece:
        yield "".join(piece)


def set_up_logs(*, is_gathering: bool = True, level: int = logging.INFO) -> None:
    """Send the process's logs to standard error as JSON lines.

    Args:
        is_gathering: with a thread that writes them together; False where the process is to be forked.
        level: the least that is logged.
    """
    handler = GatheringHandler(sys.stderr) if is_gathering else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Not in any line, and a third of what it costs to make one (Python's Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Nor is where in the source: what asks for it is looked at no more.
    logging._srcfile = None  # noqa: SLF001 - what that HOWTO says to do
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Its pool says each retry of an outage; the router says the outage once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
