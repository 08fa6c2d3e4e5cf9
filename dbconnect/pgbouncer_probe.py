"""Probe whether prepared statements are safe through a pooler: with two clients, since one never shows the fault.

PgBouncer in transaction mode before 1.21 does not track prepared statements. Two clients then use the same name for
different statements, and one gets the other's rows, or an error. From 1.21 on it keeps them apart, if
`max_prepared_statements` is not 0.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from dbconnect.failures import abort_connection
from dbconnect.routes import Connection, connect_route
from dbsql import query

_ROUNDS = 6
_TIMEOUT_S = 3.0
_CLIENT_NAMES = (b"first", b"second")


@dataclass(frozen=True)
class ProbeResult:
    """The probe's result.

    Attributes:
        is_pooled: whether a pooler answers at this URL.
        is_safe: whether both clients always got their own rows.
        reason: the fault; empty when it is safe.
    """

    is_pooled: bool
    is_safe: bool
    reason: str


def probe_prepared_statements(url: str) -> ProbeResult:
    """Let two clients prepare different statements under the same name, and take turns on the pooler's sessions.

    Raises:
        UnavailableError: the server can't be reached.
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(_open(url)) for _ in _CLIENT_NAMES]
        is_pooled = any(_is_pooled(client) for client in clients)
        if is_pooled and not psycopg.capabilities.has_send_close_prepared():
            # psycopg would send DEALLOCATE as text, which no pooler tracks.
            return ProbeResult(
                is_pooled, is_safe=False, reason="this libpq can't close a prepared statement (needs 17)"
            )
        # A unique name: a statement left in a pooled session must never be mistaken for another client's.
        name = f"salespulse_probe_{secrets.token_hex(4)}".encode()
        try:
            fault = _take_turns(clients, name) or (_swap_sessions(clients, name) if is_pooled else "")
        except psycopg.OperationalError as error:
            fault = str(error).strip()
        for client in clients if fault and is_pooled else ():
            client.pgconn.exec_(b"DEALLOCATE " + name)
        return ProbeResult(is_pooled, is_safe=not fault, reason=fault)


@contextlib.contextmanager
def _open(url: str) -> Iterator[Connection]:
    connection = connect_route(url, "probe")
    # A pooler without a free session keeps its clients waiting for minutes.
    timer = threading.Timer(_TIMEOUT_S, abort_connection, (connection,))
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        timer.join()
        connection.close()


def _is_pooled(client: Connection) -> bool:
    row = client.execute(query("dbconnect.connection_limits")).fetchone()
    return row is not None and row["backend_pid"] != client.info.backend_pid


def _take_turns(clients: list[Connection], name: bytes) -> str:
    for client, own_name in zip(clients, _CLIENT_NAMES, strict=True):
        fault = _fault(client.pgconn.prepare(name, b"SELECT '" + own_name + b"'"))
        if fault:
            return fault
    for _ in range(_ROUNDS):
        fault = _query_both(clients, name)
        if fault:
            return fault
    return ""


def _swap_sessions(clients: list[Connection], name: bytes) -> str:
    """Hold both sessions in transactions, in either order, so that each client gets the session that the other used."""
    for ordered in (clients, clients[::-1]):
        for client in ordered:
            try:
                client.execute("BEGIN")
            except psycopg.OperationalError:
                return ""  # one session only: taking turns has tested it
        fault = _query_both(clients, name)
        if fault:
            return fault
        for client in clients:
            client.execute("COMMIT")
    return ""


def _query_both(clients: list[Connection], name: bytes) -> str:
    for client, own_name in zip(clients, _CLIENT_NAMES, strict=True):
        result = client.pgconn.exec_prepared(name, [])
        fault = _fault(result)
        if fault:
            return fault
        answer = result.get_value(0, 0)
        if answer != own_name:
            return f"the {own_name.decode()} client got the row of the {(answer or b'?').decode()} client"
    return ""


def _fault(result: PGresult) -> str:
    if result.status in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
        return ""
    return result.get_error_message().strip() or "no answer"
