"""Stream rows from one server's COPY into another's, without ever holding them in memory."""

import select
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn

from dbsql import query
from pipelines.refresh.connections import Connection
from pipelines.source.mapping import SourceMapping

# Rows are joined to chunks of about this size: a write for each row would cost as much as all the rest.
_CHUNK_BYTES = 1 << 16


def source_query(name: str, mapping: SourceMapping) -> sql.Composed:
    """Return a statement of `source_state.sql` with the application's own key types filled in."""
    types = {entity: sql.SQL(key_type) for entity, key_type in mapping.key_types.items()}
    return sql.SQL(query(f"source_state.{name}")).format(**types)


def array_literal(keys: Iterable[str]) -> str:
    """Return texts as a PostgreSQL array literal: a parameter, to be cast to `text[]`.

    psycopg's own adaptation of a list takes four times as long as the look-up of its keys.
    """
    return "{" + ",".join('"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in keys) + "}"


def copy_across(
    source: Connection, out: sql.Composed | sql.SQL, parameters: dict[str, Any], target: Connection, into: str
) -> int:
    """Run `COPY … TO STDOUT` on the source and copy it into the named `COPY … FROM STDIN` of the target; return the rows."""
    with start_copy(source, out, parameters) as outgoing:
        return copy_into(outgoing, target, into)


@contextmanager
def start_copy(
    source: Connection, out: sql.Composed | sql.SQL, parameters: dict[str, Any]
) -> Iterator[Generator[memoryview]]:
    """Start a `COPY … TO STDOUT`: the server works on it while the caller does something else before reading its rows.

    What is not read when the context ends is canceled. libpq is called directly, which takes a quarter of the time of
    `Cursor.copy`: that waits, through a generator, for each row.
    """
    connection = source.pgconn
    started = connection.exec_(psycopg.ClientCursor(source).mogrify(out, parameters).encode())
    if started.status != ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(started)
    try:
        with closing(_rows(source, connection)) as rows:
            yield rows
    finally:
        if connection.transaction_status == TransactionStatus.ACTIVE:
            _abandon(source, connection)


def copy_into(rows: Iterable[memoryview], target: Connection, into: str) -> int:
    """Write the rows of a COPY to the named `COPY … FROM STDIN` of the target; return how many there were."""
    count = 0
    with target.cursor() as writer, writer.copy(query(into)) as incoming:
        chunk: list[memoryview] = []
        size = 0
        for row in rows:
            count += 1
            chunk.append(row)
            size += len(row)
            if size >= _CHUNK_BYTES:
                incoming.write(b"".join(chunk))
                chunk, size = [], 0
        incoming.write(b"".join(chunk))
    return count


def _rows(source: Connection, connection: PGconn) -> Generator[memoryview]:
    while True:
        size, row = connection.get_copy_data(1)
        if size > 0:
            yield row
        elif size == 0:
            select.select([source], [], [])
            connection.consume_input()
        else:
            break
    _finish(connection)


def _finish(connection: PGconn) -> None:
    while (result := connection.get_result()) is not None:
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _abandon(source: Connection, connection: PGconn) -> None:
    """Cancel the copy, so that the connection takes statements again; the caller raises why it ended."""
    source.cancel_safe()
    with suppress(psycopg.Error):
        while connection.get_copy_data(0)[0] > 0:
            pass
        _finish(connection)
