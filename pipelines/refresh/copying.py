"""Stream rows from one server's COPY into another's, without ever holding them in memory."""

from typing import Any

from psycopg import sql

from dbsql import query
from pipelines.refresh.connections import Connection
from pipelines.source.mapping import SourceMapping


def source_query(name: str, mapping: SourceMapping) -> sql.Composed:
    """Give a statement of `source_state.sql` with the application's own key types filled in."""
    types = {entity: sql.SQL(key_type) for entity, key_type in mapping.key_types.items()}
    return sql.SQL(query(f"source_state.{name}")).format(**types)


def copy_across(
    source: Connection, out: sql.Composed | sql.SQL, parameters: dict[str, Any], target: Connection, into: str
) -> int:
    """Run `COPY … TO STDOUT` on the source and feed it to the named `COPY … FROM STDIN` of the target; give the rows."""
    rows = 0
    with (
        source.cursor() as reader,
        target.cursor() as writer,
        reader.copy(out, parameters) as outgoing,
        writer.copy(query(into)) as incoming,
    ):
        for block in outgoing:
            incoming.write(block)
            rows += 1
    return rows
