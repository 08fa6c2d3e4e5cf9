"""The quick answer to "is this range exact?": one 64-bit fingerprint per document on both sides, rollups over the facts.

A fingerprint may be equal by chance with a probability of 2^-64 a document. What is not found equal is compared row by row by
`verify`, so there is no false alarm here either.
"""

from datetime import timedelta

from dbsql import query
from pipelines.refresh.apply import clear_batch_tables, stage_documents
from pipelines.refresh.backfill_queue import moments
from pipelines.refresh.connections import Connections
from pipelines.refresh.copy_stream import feed, source_query, start_copy
from pipelines.refresh.options import Phases, RefreshOptions
from pipelines.refresh.rollups import all_rollups
from pipelines.verification.date_ranges import DateRange
from pipelines.verification.rollup_drift import facts_relation, find_drifted_rows

# More suspects than this are not looked at one by one: the range is compared whole.
_SUSPECTS = 2_000
# A moment of the range that the source is asked for may be dated this much earlier or later, in some time zone.
_EARLY = timedelta(days=2)
_LATE = timedelta(days=3)


def is_exact(
    connections: Connections, options: RefreshOptions, window: DateRange, phases: Phases
) -> tuple[int, int] | None:
    """Say whether facts and rollups of a window are what the snapshot's source says, by giving the documents and lines compared.

    None: something may differ, and has to be compared row by row.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction and holding the lock.
        options: see `RefreshOptions`.
        window: which days.
        phases: told where the time goes.
    """
    warehouse = connections.warehouse
    # The replica works on its fingerprints while the warehouse sums its rollups.
    warehouse.execute(query("apply.prefer_sorting"))
    statement = source_query("copy_fingerprints", options.mapping)
    with start_copy(connections.replica, statement, moments(window.from_date, window.to_date)) as outgoing:
        drifted = sum(
            find_drifted_rows(warehouse, rollup, facts_relation(rollup), window)[0] for rollup in all_rollups()
        )
        phases("compare rollups")
        warehouse.execute(query("fingerprint.create_source"))
        feed(outgoing, warehouse, "fingerprint.copy_source")
    warehouse.execute(query("fingerprint.analyze_source"))
    parameters = {
        **window.parameters(),
        "early_date": window.from_date - _EARLY,
        "late_date": window.to_date + _LATE,
        "most": _SUSPECTS,
    }
    suspects = warehouse.execute(query("fingerprint.suspects"), parameters).fetchall()
    warehouse.execute(query("fingerprint.drop_source"))
    warehouse.execute(query("apply.prefer_nothing"))
    phases("compare facts")
    if drifted or any(row["document_id"] is None for row in suspects) or len(suspects) == _SUSPECTS:
        return None
    if suspects:
        documents = [(row["document_kind"], row["document_id"]) for row in suspects]
        stage_documents(connections, options.mapping, documents, at=phases)
        counted = warehouse.execute(query("fingerprint.count_unexplained")).fetchone()
        clear_batch_tables(connections)
        if counted is None or counted["unexplained"]:
            return None
    row = warehouse.execute(query("fingerprint.count_facts"), window.parameters()).fetchone()
    return (row["documents"], row["lines"]) if row is not None else (0, 0)
