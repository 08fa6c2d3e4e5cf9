"""Failed connections: end one whose server hangs, and tell which errors are worth another try."""

import contextlib
import os
import socket
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

# serialization failure (also: cancelled by recovery on a replica), deadlock, the server shuts down, crashed, starts up,
# too many connections. Not 57014: that is the statement's own timeout, and trying again would double the load.
_RETRYABLE = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300"})


def abort_connection(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Shut the connection's socket; its pending statement raises `OperationalError`.

    Cancelling would ask the very server that hangs. Call it where the connection can't be closed at the same moment, since
    its descriptor might then be another's.
    """
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as handle:
        handle.shutdown(socket.SHUT_RDWR)


def is_retryable(error: BaseException) -> bool:
    """Whether the same read may succeed at once, on another connection or server.

    A broken connection has no SQLSTATE, or one of class 08. A timeout while waiting for a free connection is not retried.
    """
    if not isinstance(error, psycopg.OperationalError | psycopg.InternalError) or isinstance(error, PoolTimeout):
        return False
    state = error.sqlstate
    return state is None or state in _RETRYABLE or state.startswith("08")
