"""Read one tenant's figures from the warehouse, write them to a file, and remove old files."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from psycopg import Cursor
from psycopg.rows import tuple_row

from background_jobs.errors import ExportError
from background_jobs.exports.writers import WRITERS
from background_jobs.kinds.export_sales_report import ExportReport
from dbconnect.read import BEGIN
from dbconnect.routes import Connection
from dbsql import query

_REPORTS = get_args(ExportReport)
_BATCH_ROWS = 10_000
EXPORT_DAYS = 30
_STATEMENT_TIMEOUT_S = 300


@dataclass(frozen=True)
class ExportResult:
    """A report that has been written to a file.

    Attributes:
        path: the file.
        rows: number of rows, without the header.
        size: in bytes.
        from_date: first business date.
        to_date: last business date, inclusive.
        as_of: every sale up to this moment is included.
    """

    path: Path
    rows: int
    size: int
    from_date: date
    to_date: date
    as_of: datetime


def write_report(
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
) -> ExportResult:
    """Write a report to a file, atomically: the file is complete or absent.

    Everything is read in one read-only transaction, in which row-level security shows this tenant's rows alone.

    Args:
        connection: as salespulse_dashboard, outside a transaction.
        path: the file; its directory is created.
        tenant_id: the application's tenant id.
        report: one of `ExportReport`, each a statement of `dbsql/queries/export.sql`.
        file_format: csv, xlsx or parquet.
        from_date: first business date; by default so that the report has 30 days.
        to_date: last business date, inclusive; by default the last one with figures.
        store_id: only this store.
        progress: called after each batch with the percentage done and the rows written; an exception ends the export.

    Raises:
        ExportError: tenant or store is unknown, no refresh has finished yet, or the rows do not fit the format.
    """
    with _tenant_transaction(connection, tenant_id) as tenant_key:
        as_of = _as_of(connection)
        _check_store(connection, tenant_key, store_id)
        first, last = _dates(connection, tenant_key, from_date, to_date)
        parameters = {"tenant_key": tenant_key, "from_date": first, "to_date": last, "store_id": store_id}
        with _part_file(path) as part:
            rows = 0
            # A server-side cursor keeps memory small for a report of any length.
            with connection.cursor(f"export_{report}", row_factory=tuple_row) as cursor:
                cursor.execute(query(f"export.{_checked_report(report)}"), parameters)
                columns = [
                    (column.name, _type_name(connection, column.type_code)) for column in cursor.description or ()
                ]
                writer = WRITERS[file_format](part, columns)
                try:
                    for frame in _frames(cursor, [name for name, _ in columns]):
                        writer.write(frame)
                        rows += len(frame)
                        if progress is not None:
                            progress(_percent(frame["business_date"].iloc[-1], first, last), rows)
                finally:
                    writer.close()
            size = part.stat().st_size
    return ExportResult(path, rows, size, first, last, as_of)


@contextmanager
def _tenant_transaction(connection: Connection, tenant_id: str) -> Iterator[int]:
    """Begin a read-only transaction bound to the tenant, and yield the tenant's key."""
    connection.execute(BEGIN)
    try:
        row = connection.execute(query("dashboard.tenant_keys"), {"tenant_ids": [tenant_id]}).fetchone()
        if row is None or row["tenant_key"] is None:
            raise ExportError(f"the warehouse has no tenant {tenant_id!r}: check the id, or run a refresh first")
        connection.execute(
            query("dbconnect.enter_read_without_heartbeat"),
            {"statement_timeout_ms": str(_STATEMENT_TIMEOUT_S * 1000), "tenant_key": str(row["tenant_key"])},
        )
        yield row["tenant_key"]
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _as_of(connection: Connection) -> datetime:
    state = connection.execute(query("dashboard.state")).fetchone()
    if state is None:
        raise ExportError("there are no figures yet: run a refresh first")
    return state["as_of"].astimezone(UTC)  # type: ignore[no-any-return]


def _check_store(connection: Connection, tenant_key: int, store_id: str | None) -> None:
    if store_id is None:
        return
    parameters = {"tenant_key": tenant_key, "store_id": store_id}
    if connection.execute(query("export.find_store"), parameters).fetchone() is None:
        raise ExportError(f"store: there is no store {store_id!r}")


def _dates(connection: Connection, tenant_key: int, from_date: date | None, to_date: date | None) -> tuple[date, date]:
    row = connection.execute(query("export.last_date"), {"tenant_key": tenant_key}).fetchone()
    newest = (row or {}).get("last_date") or datetime.now(UTC).date()
    last = to_date or max(newest, from_date or newest)
    return from_date or last - timedelta(days=EXPORT_DAYS - 1), last


def _checked_report(report: str) -> str:
    if report not in _REPORTS:
        raise ExportError(f"there is no report {report!r}: choose one of {', '.join(_REPORTS)}")
    return report


def _type_name(connection: Connection, oid: int) -> str:
    type_info = connection.adapters.types.get(oid)
    return type_info.name if type_info is not None else "text"


def _frames(cursor: Cursor[Any], columns: list[str]) -> Iterator[pd.DataFrame]:
    while rows := cursor.fetchmany(_BATCH_ROWS):
        # dtype=object: pandas must not convert amounts to binary floating point.
        yield pd.DataFrame(rows, columns=columns, dtype=object)


def _percent(business_date: Any, first: date, last: date) -> float:
    return float(100 * min(1.0, ((business_date - first).days + 1) / ((last - first).days + 1)))


@contextmanager
def _part_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside the file: renamed to it at the end, removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o600)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def expire_exports(directory: Path, *, keep_s: float, now_s: float | None = None) -> int:
    """Remove old exported files, also those that a killed export left incomplete; return their number.

    Args:
        directory: where exports are written; may be absent.
        keep_s: how long a file is kept, in seconds since it was written.
        now_s: Unix time; the system clock unless given.
    """
    now_s = time.time() if now_s is None else now_s
    removed = 0
    for path in directory.glob("*") if directory.is_dir() else ():
        if path.is_file() and now_s - path.stat().st_mtime >= keep_s:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
