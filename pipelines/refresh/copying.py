"""Stream rows from one server's COPY into another's, without ever holding them in memory."""

import select
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from dbsql import query
from pipelines.refresh.connections import Connection
from pipelines.source.mapping import SourceMapping

# Rows are joined to pieces of about this size: a write for each row would cost as much as all the rest.
_CHUNK_BYTES = 1 << 16


def source_query(name: str, mapping: SourceMapping) -> sql.Composed:
    """Give a statement of `source_state.sql` with the application's own key types filled in."""
    types = {entity: sql.SQL(key_type) for entity, key_type in mapping.key_types.items()}
    return sql.SQL(query(f"source_state.{name}")).format(**types)


def copy_across(
    source: Connection, out: sql.Composed | sql.SQL, parameters: dict[str, Any], target: Connection, into: str
) -> int:
    """Run `COPY … TO STDOUT` on the source and feed it to the named `COPY … FROM STDIN` of the target; give the rows."""
    rows = 0
    statement = psycopg.ClientCursor(source).mogrify(out, parameters)
    with (
        closing(_copy_out(source, statement)) as outgoing,
        target.cursor() as writer,
        writer.copy(query(into)) as incoming,
    ):
        chunk: list[memoryview] = []
        size = 0
        for row in outgoing:
            rows += 1
            chunk.append(row)
            size += len(row)
            if size >= _CHUNK_BYTES:
                incoming.write(b"".join(chunk))
                chunk, size = [], 0
        incoming.write(b"".join(chunk))
    return rows


def _copy_out(source: Connection, statement: str) -> Generator[memoryview]:
    """Give the rows of a COPY as the server writes them.

    libpq is asked directly, which takes a quarter of the time of `Cursor.copy`: that waits, by way of a generator, for each
    row.
    """
    connection = source.pgconn
    started = connection.exec_(statement.encode())
    if started.status != ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(started)
    is_whole = False
    try:
        while True:
            size, row = connection.get_copy_data(1)
            if size > 0:
                yield row
            elif size == 0:
                select.select([source], [], [])
                connection.consume_input()
            else:
                break
        is_whole = True
    finally:
        if not is_whole:
            _abandon(source, connection)
    _finish(connection)


def _finish(connection: PGconn) -> None:
    while (result := connection.get_result()) is not None:
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _abandon(source: Connection, connection: PGconn) -> None:
    """Bring the connection back to where it takes statements; why the copy ended is what the caller raises."""
    source.cancel_safe()
    with suppress(psycopg.Error):
        while connection.get_copy_data(0)[0] > 0:
            pass
        _finish(connection)
