"""The quick comparison: one 64-bit fingerprint per document on both sides, and the rollups over the facts.

Two fingerprints are equal by chance with a probability of 2^-64 a document. Where they differ, `verify` compares row by
row, so there are no false alarms.
"""

from datetime import timedelta

from dbsql import query
from pipelines.refresh.apply import prepare_batch_tables, stage_documents
from pipelines.refresh.backfill_queue import moments
from pipelines.refresh.connections import Connections
from pipelines.refresh.copy_stream import copy_into, source_query, start_copy
from pipelines.refresh.options import Phases, RefreshOptions
from pipelines.refresh.rollups import all_rollups
from pipelines.verification.date_ranges import DateRange
from pipelines.verification.rollup_drift import find_drifted_rows

# With more suspects than this the whole range is compared.
_SUSPECTS = 2_000
# The source's moments of a range may be dated this much earlier or later, in some time zone.
_EARLY = timedelta(days=2)
_LATE = timedelta(days=3)


def compare_fingerprints(
    connections: Connections, options: RefreshOptions, window: DateRange, phases: Phases
) -> tuple[int, int] | None:
    """Return how many documents and lines a window has, if its facts and rollups are what the snapshot's source says.

    None: something may differ, and has to be compared row by row.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction and holding the lock.
        options: see `RefreshOptions`.
        window: which days.
        phases: takes the time of each step.
    """
    warehouse = connections.warehouse
    # The replica works on its fingerprints while the warehouse sums its rollups.
    warehouse.execute(query("apply.disable_hash_aggregation"))
    statement = source_query("copy_fingerprints", options.mapping)
    with start_copy(connections.replica, statement, moments(window.from_date, window.to_date)) as outgoing:
        drifted = sum(find_drifted_rows(warehouse, rollup, rollup.over_facts(), window)[0] for rollup in all_rollups())
        phases("compare rollups")
        warehouse.execute(query("fingerprint.create_source"))
        copy_into(outgoing, warehouse, "fingerprint.copy_source")
    warehouse.execute(query("fingerprint.analyze_source"))
    parameters = {
        **window.parameters(),
        "early_date": window.from_date - _EARLY,
        "late_date": window.to_date + _LATE,
        "row_limit": _SUSPECTS,
    }
    suspects = warehouse.execute(query("fingerprint.suspects"), parameters).fetchall()
    warehouse.execute(query("fingerprint.drop_source"))
    warehouse.execute(query("apply.enable_hash_aggregation"))
    phases("compare facts")
    if drifted or any(row["document_id"] is None for row in suspects) or len(suspects) == _SUSPECTS:
        return None
    if suspects:
        documents = [(row["document_kind"], row["document_id"]) for row in suspects]
        stage_documents(connections, options.mapping, documents, at=phases)
        counted = warehouse.execute(query("fingerprint.count_unexplained")).fetchone()
        prepare_batch_tables(connections.warehouse)
        if counted is None or counted["unexplained"]:
            return None
    row = warehouse.execute(query("fingerprint.count_facts"), window.parameters()).fetchone()
    return (row["documents"], row["lines"]) if row is not None else (0, 0)
