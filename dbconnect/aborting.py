"""End a connection whose server does not answer: what hangs on it then fails at once."""

import contextlib
import os
import socket
from typing import Any

import psycopg


def abort(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Shut the connection's socket; its pending statement raises `OperationalError`.

    Cancelling would ask the very server that hangs. Call it where the connection can't be closed at the same moment, since
    its descriptor might then be another's.
    """
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as handle:
        handle.shutdown(socket.SHUT_RDWR)
