"""Whether statements may be prepared on the server through a pooler: shown with two clients, since one never shows it.

PgBouncer in transaction mode before 1.21 knows nothing of prepared statements. Two clients then use the same name for
different statements, and one is answered with the other's rows, or with an error. From 1.21 on it keeps them apart, if
`max_prepared_statements` is not 0.
"""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from connect.aborting import abort
from connect.routes import Connection, connect_url
from dbsql import query

_ROUNDS = 6
_PATIENCE_S = 3.0
_ASKED: tuple[LiteralString, LiteralString] = ("SELECT 'first' AS answer", "SELECT 'second' AS answer")


@dataclass(frozen=True)
class ProbeResult:
    """What the probe found.

    Attributes:
        is_pooled: whether a pooler answers at this URL.
        is_safe: whether preparing gave right answers to both clients throughout.
        reason: what went wrong; empty when it is safe.
    """

    is_pooled: bool
    is_safe: bool
    reason: str


def probe_preparing(url: str) -> ProbeResult:
    """Let two clients prepare different statements under the same name, and take turns on the pooler's sessions.

    Raises:
        UnavailableError: the server can't be reached.
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(_open(url)) for _ in _ASKED]
        is_pooled = any(_is_pooled(client) for client in clients)
        if is_pooled and not psycopg.capabilities.has_send_close_prepared():
            # psycopg would send DEALLOCATE as text, which no pooler follows.
            return ProbeResult(
                is_pooled, is_safe=False, reason="this libpq can't close a prepared statement (needs 17)"
            )
        try:
            fault = _take_turns(clients) or (_swap_sessions(clients) if is_pooled else "")
        except psycopg.Error as error:
            fault = str(error).strip()
        return ProbeResult(is_pooled, is_safe=not fault, reason=fault)


@contextlib.contextmanager
def _open(url: str) -> Iterator[Connection]:
    connection = connect_url(url, "probe")
    # A pooler without a free session lets its clients wait for minutes.
    timer = threading.Timer(_PATIENCE_S, abort, (connection,))
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        timer.join()
        connection.close()


def _is_pooled(client: Connection) -> bool:
    row = client.execute(query("connect.connection_limits")).fetchone()
    return row is not None and row["backend_pid"] != client.info.backend_pid


def _take_turns(clients: list[Connection]) -> str:
    for _ in range(_ROUNDS):
        for client, asked in zip(clients, _ASKED, strict=True):
            fault = _ask(client, asked)
            if fault:
                return fault
    return ""


def _swap_sessions(clients: list[Connection]) -> str:
    """Hold both sessions in transactions, in either order, so that each client meets what the other left."""
    first, second = clients
    for one, other in ((first, second), (second, first)):
        for client in (one, other):
            try:
                client.execute("BEGIN")
            except psycopg.OperationalError:
                return ""  # one session only: taking turns has shown all there is
        for client, asked in zip(clients, _ASKED, strict=True):
            fault = _ask(client, asked)
            if fault:
                return fault
        for client in clients:
            client.execute("COMMIT")
    return ""


def _ask(client: Connection, asked: LiteralString) -> str:
    row = client.execute(asked, prepare=True).fetchone()
    if row is None or row["answer"] not in asked:
        return f"a client that asked {asked!r} was answered {row and row['answer']!r}: another client's row"
    return ""
