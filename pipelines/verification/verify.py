"""Verify: apply what is pending from one snapshot, then compare with that same snapshot. Exact, with no false alarm."""

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from dbconnect.error_mapping import mapped_errors
from dbsql import query
from pipelines.refresh.apply import apply_documents, prepare_batch_tables, stage_documents
from pipelines.refresh.backfill_queue import moments
from pipelines.refresh.changes import Document
from pipelines.refresh.connections import Connections
from pipelines.refresh.copy_stream import source_query
from pipelines.refresh.options import Phases, RefreshOptions, RefreshResult
from pipelines.refresh.rollups import all_rollups
from pipelines.refresh.runner import apply_snapshot, no_hook, refresh, take_lock
from pipelines.refresh.snapshot import open_snapshot
from pipelines.refresh.state import read_state
from pipelines.verification.date_ranges import DateRange, month_of, months_with_rows, source_months, split_by_month
from pipelines.verification.fingerprint import compare_fingerprints
from pipelines.verification.report import NAME_LIMIT, VerificationReport
from pipelines.verification.rollup_drift import find_drifted_rows, repair_rows

# Documents staged at a time: bounds the memory here (their keys) and there (temporary tables).
_CHUNK_DOCUMENTS = 20_000
_SHORT_RANGE = timedelta(days=1_000)


def verify(
    connections: Connections,
    options: RefreshOptions,
    *,
    from_date: date | None = None,
    to_date: date | None = None,
    repair: bool = False,
    progress: Callable[[DateRange, int, int], None] | None = None,
    at: Callable[[str], None] = no_hook,
) -> VerificationReport:
    """Compare facts and rollups with the source, and repair what differs if `repair` is set.

    One replica snapshot and one warehouse transaction under the refresh's lock: what is pending in that snapshot is
    applied first, so a difference is drift and never mere lateness. A month whose fingerprints agree is done with (see
    `fingerprint`). Elsewhere daily rollups are compared with their SQL over the staged source; monthly ones too where the
    range covers the month, else with their SQL over the month's facts.

    Args:
        connections: see `Connections`.
        options: see `RefreshOptions`.
        from_date: first business date; None: the first there is.
        to_date: last business date, inclusive; None: the last there is.
        repair: apply the differing documents again and recompute the rollups' rows from the facts.
        progress: called after each month with its window, its number from 1, and how many there are.
        at: called with each step's name as it ends.

    Raises:
        RefreshError: as `refresh` does.
    """
    started = time.perf_counter()
    report = VerificationReport(repaired=repair)
    # Whatever takes long is done in bounded transactions before the long lock.
    result = refresh(connections, options, at=at)
    phases = Phases(result.seconds, at)
    with mapped_errors("verifying"), connections.warehouse.transaction():
        take_lock(connections, options)
        state = read_state(connections.warehouse)
        with open_snapshot(connections, state, statement_timeout_s=options.statement_timeout_s) as opened:
            pending, snapshot = RefreshResult(), opened
            while not pending.is_drained:
                state = apply_snapshot(connections, options, snapshot, state, pending, phases)
                # The first batch handles a break in the history.
                snapshot = opened.without_breaks()
            report.as_of = opened.as_of
            pieces = _pieces(connections, from_date, to_date)
            if pieces:
                report.from_date, report.to_date = pieces[0].from_date, pieces[-1].to_date
                _compare(connections, options, report, pieces, phases, progress)
    report.seconds = time.perf_counter() - started
    return report


def _compare(
    connections: Connections,
    options: RefreshOptions,
    report: VerificationReport,
    pieces: list[DateRange],
    phases: Phases,
    progress: Callable[[DateRange, int, int], None] | None,
) -> None:
    connections.warehouse.execute(query("verify.create_staged_source"))
    for number, window in enumerate(pieces, start=1):
        compared = compare_fingerprints(connections, options, window, phases)
        if compared is None:
            _compare_rows(connections, options, report, window, phases)
        else:
            report.documents += compared[0]
            report.lines += compared[1]
        if progress is not None:
            progress(window, number, len(pieces))


def _compare_rows(
    connections: Connections, options: RefreshOptions, report: VerificationReport, window: DateRange, phases: Phases
) -> None:
    """Compare a window row by row, report what differs, and repair it where the report is to."""
    _stage_window(connections, options, window, phases)
    drifted = _drifted_documents(connections, report, window)
    phases("compare facts")
    row_drift = _drifted_rows(connections, report, window)
    phases("compare rollups")
    if report.repaired and (drifted or row_drift):
        _repair(connections, options, drifted, window, phases)


def _stage_window(connections: Connections, options: RefreshOptions, window: DateRange, phases: Phases) -> None:
    """Stage what the snapshot says of a window into the verify tables."""
    warehouse = connections.warehouse
    warehouse.execute(query("verify.clear_staged_source"))
    for documents in _document_chunks(connections, options, window):
        stage_documents(connections, options.mapping, documents, at=phases)
        for name in ("stage_documents", "stage_lines", "stage_payments"):
            warehouse.execute(query(f"verify.{name}"), window.parameters())
    prepare_batch_tables(warehouse)
    warehouse.execute(query("verify.analyze_staged_source"))
    phases("stage window")


def _document_chunks(connections: Connections, options: RefreshOptions, window: DateRange) -> Iterator[list[Document]]:
    """Read the keys of a window's documents from the snapshot, some at a time.

    All keys are read before the first chunk is yielded, since the connection streams one statement at a time: some 100
    bytes a document of one month.
    """
    documents: list[Document] = []
    parameters = {**moments(window.from_date, window.to_date), "is_whole": False}
    with connections.replica.cursor().copy(source_query("copy_document_keys", options.mapping), parameters) as rows:
        rows.set_types(["text", "text"])
        documents.extend((kind, key) for kind, key in rows.rows())
    for start in range(0, len(documents), _CHUNK_DOCUMENTS):
        yield documents[start : start + _CHUNK_DOCUMENTS]


def _drifted_documents(connections: Connections, report: VerificationReport, window: DateRange) -> list[int]:
    """Return the keys of documents whose facts differ, and put their natural keys into the report."""
    warehouse = connections.warehouse
    keys: set[int] = set()
    for name in ("documents", "lines", "payments"):
        keys |= {
            row["document_key"] for row in warehouse.execute(query(f"verify.list_drifted_{name}"), window.parameters())
        }
    counted = warehouse.execute(query("verify.count_staged")).fetchone()
    if counted is not None:
        report.documents += counted["documents"]
        report.lines += counted["lines"]
    if keys:
        named = warehouse.execute(query("verify.list_natural_keys"), {"document_keys": sorted(keys)}).fetchall()
        names = {(row["document_kind"] or "stray", row["document_id"] or str(row["document_key"])) for row in named}
        report.drifted_document_count += len(names)
        report.drifted_documents.extend(sorted(names)[: NAME_LIMIT - len(report.drifted_documents)])
    return sorted(keys)


def _drifted_rows(connections: Connections, report: VerificationReport, window: DateRange) -> int:
    """Count the rollup rows that differ, and put the first of them into the report."""
    drifted = 0
    for rollup in all_rollups():
        # The staged source holds the window's days alone.
        is_partial = rollup.is_monthly and not window.is_whole_month
        select = rollup.over_facts() if is_partial else rollup.over_staged_source()
        count, rows = find_drifted_rows(connections.warehouse, rollup, select, window)
        drifted += count
        report.drifted_rows.extend(rows[: NAME_LIMIT - len(report.drifted_rows)])
    report.drifted_row_count += drifted
    return drifted


def _repair(
    connections: Connections, options: RefreshOptions, drifted: list[int], window: DateRange, phases: Phases
) -> None:
    """Bring the facts of differing documents to the source's state, then the window's rollup rows to the facts.

    Applying a difference of zero heals nothing, so the rollups are recomputed and not adjusted.
    """
    warehouse = connections.warehouse
    months = {window}
    if drifted:
        named = warehouse.execute(query("verify.list_natural_keys"), {"document_keys": drifted}).fetchall()
        documents = [(row["document_kind"], row["document_id"]) for row in named if row["document_id"] is not None]
        old_dates = warehouse.execute(query("verify.list_fact_dates"), {"document_keys": drifted}).fetchall()
        for start in range(0, len(documents), _CHUNK_DOCUMENTS):
            apply_documents(connections, options.mapping, documents[start : start + _CHUNK_DOCUMENTS], at=phases)
        for name in ("remove_stray_lines", "remove_stray_payments"):
            warehouse.execute(query(f"verify.{name}"), {"document_keys": drifted})
        # A document that the facts had on a wrong date has touched that day's rows too.
        months |= {DateRange(row["business_date"], row["business_date"]) for row in old_dates}
    for piece in sorted(months, key=lambda item: item.from_date):
        for rollup in all_rollups():
            repair_rows(warehouse, rollup, piece)
    phases("repair")


def _pieces(connections: Connections, from_date: date | None, to_date: date | None) -> list[DateRange]:
    """Return the windows to compare: the months, or parts of them, that source, facts or rollups have rows of.

    In a range of a few years, looking for those months costs more than comparing months without sales.
    """
    if from_date is not None and to_date is not None and to_date - from_date <= _SHORT_RANGE:
        return list(split_by_month(from_date, to_date))
    months = months_with_rows(connections, all_rollups()) | source_months(connections)
    if not months:
        return []
    first_date = max(from_date or date.min, min(months))
    last_date = min(to_date or date.max, month_of(max(months)).to_date)
    return [window for window in split_by_month(first_date, last_date) if window.month in months]
