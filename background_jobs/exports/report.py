"""Read a tenant's figures and write them into a file."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from psycopg import Cursor
from psycopg.rows import tuple_row

from background_jobs.exports.errors import ExportError
from background_jobs.exports.writers import WRITERS, Writer
from dbconnect.read import BEGIN
from dbconnect.routes import Connection
from dbsql import query

REPORTS = ("stores", "hours", "products", "customers", "payments")
ROWS_AT_A_TIME = 10_000
DEFAULT_DAYS = 30
_STATEMENT_TIMEOUT_S = 300


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: of the file.
        rows: without the head.
        size: in bytes.
        from_date: first business date.
        to_date: last business date, inclusive.
        as_of: every sale up to this moment is in the figures.
    """

    path: Path
    rows: int
    size: int
    from_date: date
    to_date: date
    as_of: datetime


def export_report(
    connection: Connection,
    path: Path,
    *,
    tenant_id: str,
    report: str,
    file_format: str,
    from_date: date | None = None,
    to_date: date | None = None,
    store_id: str | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Exported:
    """Write a report into a file, which is there whole or not at all.

    Everything is read in one read-only transaction that shows this tenant's rows alone.

    Args:
        connection: as salespulse_dashboard, outside a transaction.
        path: of the file; its directory is made.
        tenant_id: whose figures.
        report: one of `REPORTS`, each a statement of `dbsql/queries/export.sql`.
        file_format: csv, xlsx or parquet.
        from_date: first business date; 30 days before the last unless given.
        to_date: last business date, inclusive; the last one with figures unless given.
        store_id: only this store.
        progress: called after each piece with the percentage done and the rows written; what it raises ends the export.

    Raises:
        ExportError: the tenant or the store is not known, nothing was refreshed yet, or it does not fit the format.
    """
    with _tenant_transaction(connection, tenant_id) as tenant_key:
        as_of = _as_of(connection)
        _check_store(connection, tenant_key, store_id)
        first, last = _dates(connection, tenant_key, from_date, to_date)
        parameters = {"tenant_key": tenant_key, "from_date": first, "to_date": last, "store_id": store_id}
        with _part_file(path) as part:
            rows = 0
            # A cursor of the server: a report of any length takes little memory here.
            with connection.cursor(f"export_{report}", row_factory=tuple_row) as cursor:
                cursor.execute(query(f"export.{_known(report)}"), parameters)
                columns = [
                    (column.name, _type_name(connection, column.type_code)) for column in cursor.description or ()
                ]
                writer: Writer = WRITERS[file_format](part, columns)
                try:
                    for frame in _frames(cursor, [name for name, _ in columns]):
                        writer.write(frame)
                        rows += len(frame)
                        if progress is not None:
                            progress(_percent(frame["business_date"].iloc[-1], first, last), rows)
                finally:
                    writer.close()
            size = part.stat().st_size
    return Exported(path, rows, size, first, last, as_of)


@contextmanager
def _tenant_transaction(connection: Connection, tenant_id: str) -> Iterator[int]:
    """Begin a read-only transaction bound to the tenant; give its key."""
    connection.execute(BEGIN)
    try:
        found = connection.execute(query("dashboard.tenant_keys"), {"tenant_ids": [tenant_id]}).fetchone()
        if found is None or found["tenant_key"] is None:
            raise ExportError(f"the warehouse knows no tenant {tenant_id!r}: has a refresh run yet?")
        connection.execute(
            query("dbconnect.enter_read_without_heartbeat"),
            {"statement_timeout_ms": str(_STATEMENT_TIMEOUT_S * 1000), "tenant_key": str(found["tenant_key"])},
        )
        yield found["tenant_key"]
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _as_of(connection: Connection) -> datetime:
    state = connection.execute(query("dashboard.state")).fetchone()
    if state is None:
        raise ExportError("the figures are being prepared: no refresh has finished yet")
    return state["as_of"].astimezone(UTC)  # type: ignore[no-any-return]


def _check_store(connection: Connection, tenant_key: int, store_id: str | None) -> None:
    if store_id is None:
        return
    wanted = {"tenant_key": tenant_key, "store_id": store_id}
    if connection.execute(query("export.find_store"), wanted).fetchone() is None:
        raise ExportError(f"store: there is no store {store_id!r}")


def _dates(connection: Connection, tenant_key: int, from_date: date | None, to_date: date | None) -> tuple[date, date]:
    found = connection.execute(query("export.last_date"), {"tenant_key": tenant_key}).fetchone()
    newest = (found or {}).get("last_date") or datetime.now(UTC).date()
    last = to_date or max(newest, from_date or newest)
    return from_date or last - timedelta(days=DEFAULT_DAYS - 1), last


def _known(report: str) -> str:
    if report not in REPORTS:
        raise ExportError(f"there is no report {report!r}: take one of {', '.join(REPORTS)}")
    return report


def _type_name(connection: Connection, oid: int) -> str:
    found = connection.adapters.types.get(oid)
    return found.name if found is not None else "text"


def _frames(cursor: Cursor[Any], columns: list[str]) -> Iterator[pd.DataFrame]:
    while rows := cursor.fetchmany(ROWS_AT_A_TIME):
        # Objects: pandas must not make binary fractions of amounts.
        yield pd.DataFrame(rows, columns=columns, dtype=object)


def _percent(reached: Any, first: date, last: date) -> float:
    return float(100 * min(1.0, ((reached - first).days + 1) / ((last - first).days + 1)))


@contextmanager
def _part_file(path: Path) -> Iterator[Path]:
    """Give a name beside the file to write to; renamed at the end, removed when something went wrong."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(0o600)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
