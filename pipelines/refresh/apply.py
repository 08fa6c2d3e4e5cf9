"""Apply one batch of documents, in the warehouse's transaction that the caller opened.

Stage their present state, take the signed difference to what was last applied, add it to every rollup, replace the facts.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache

from psycopg import sql

from dbsql import query
from pipelines.refresh.changes import Document
from pipelines.refresh.connections import Connection, Connections
from pipelines.refresh.copy_stream import array_literal, copy_into, source_query, start_copy
from pipelines.refresh.rollups import all_rollups, merge_delta
from pipelines.source.mapping import SourceMapping

_FACT_STATEMENTS = (
    ("fact_document_line", "remove_old_lines"),
    ("fact_document_line", "insert_lines"),
    ("fact_document_payment", "remove_old_payments"),
    ("fact_document_payment", "insert_payments"),
    ("fact_document", "remove_deleted_documents"),
    ("fact_document", "update_documents"),
    ("fact_document", "insert_documents"),
)
_DROP_UNCHANGED = (
    "unmark_documents_with_changed_lines",
    "unmark_documents_with_changed_payments",
    "drop_unchanged_lines",
    "drop_unchanged_payments",
    "drop_unchanged_old_documents",
    "drop_unchanged_new_documents",
)
# From this many lines on, the batch's tables are analyzed.
_ANALYZE_ROWS = 1_000


@dataclass
class ApplyCounts:
    """What a batch, or all batches of a refresh, applied.

    Attributes:
        documents: sales and returns compared.
        lines: source lines read.
        rows_written: table to rows inserted, updated or deleted.
        quarantined: documents that could not be counted.
    """

    documents: int = 0
    lines: int = 0
    rows_written: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0

    def add_rows(self, table: str, rows: int) -> None:
        """Count rows written to a table."""
        self.rows_written[table] = self.rows_written.get(table, 0) + rows

    def add(self, other: "ApplyCounts") -> None:
        """Add the counts of another batch."""
        self.documents += other.documents
        self.lines += other.lines
        self.quarantined += other.quarantined
        for table, rows in other.rows_written.items():
            self.add_rows(table, rows)


def apply_documents(
    connections: Connections,
    mapping: SourceMapping,
    documents: Collection[Document],
    *,
    at: Callable[[str], None],
) -> ApplyCounts:
    """Bring facts and rollups up to the snapshot's state of these documents; doing so twice changes nothing.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction and holding the lock.
        mapping: which application.
        documents: (kind, natural key), each once.
        at: called with each step's name as it ends (a step may be `resolve`, a rollup's name, `facts`, …).
    """
    lines = stage_documents(connections, mapping, documents, at=at, with_old=True)
    result = ApplyCounts(documents=len(documents), lines=lines)
    warehouse = connections.warehouse
    # Sorting bounds the memory of wide numeric sums, and inserts in the order of the primary key.
    warehouse.execute(query("apply.disable_hash_aggregation"))
    for rollup in all_rollups():
        result.add_rows(rollup.name, warehouse.execute(merge_delta(rollup)).rowcount)
        at(rollup.name)
    written = _run_all(warehouse, ["enable_hash_aggregation", *(statement for _, statement in _FACT_STATEMENTS)])[1:]
    for (table, _), rows in zip(_FACT_STATEMENTS, written, strict=True):
        result.add_rows(table, rows)
    result.quarantined = _run_all(warehouse, ["release_quarantine", "quarantine"])[-1]
    at("facts")
    return result


def stage_documents(
    connections: Connections,
    mapping: SourceMapping,
    documents: Collection[Document],
    *,
    at: Callable[[str], None],
    with_old: bool = False,
) -> int:
    """Read documents from the snapshot into temporary tables of the warehouse's session and resolve them.

    Fills `old_document` (what was last applied), `new_document`, `delta_line` and `delta_payment` (the present state, in
    surrogate keys and business dates); returns the source lines read. With `with_old` the last two hold what was last
    applied too, with the opposite sign, and unchanged documents are in none of the four.
    """
    replica, warehouse = connections.replica, connections.warehouse
    # Sales first, then returns: a document's ordinal is its place in this order.
    sale_keys = [key for kind, key in documents if kind == "sale"]
    return_keys = [key for kind, key in documents if kind == "return"]
    parameters = {
        "sale_keys": array_literal(sale_keys),
        "return_keys": array_literal(return_keys),
        "sale_count": len(sale_keys),
    }

    def start(stage: str) -> AbstractContextManager[Iterable[memoryview]]:
        return start_copy(replica, source_query(f"copy_{stage}s", mapping), parameters)

    # The replica reads the next rows while the warehouse works on the previous ones.
    with start("document") as rows:
        prepare_batch_tables(warehouse)
        copy_into(rows, warehouse, "apply.copy_stage_document")
    with start("line") as rows:
        old = warehouse.execute(query("apply.read_old_documents")).rowcount
        lines = copy_into(rows, warehouse, "apply.copy_stage_line")
    # For more than a few rows a bad estimate of the planner costs more than ANALYZE.
    is_large = lines > _ANALYZE_ROWS
    with start("payment") as rows:
        if with_old:
            _run_all(warehouse, ["subtract_old_lines", "subtract_old_payments"])
        if is_large:
            _run_all(warehouse, ["use_small_samples", "analyze_stage"])
        copy_into(rows, warehouse, "apply.copy_stage_payment")
    at("stage")
    _run_all(warehouse, ["fix_join_order", "resolve_documents", "reset_join_order"])
    if warehouse.execute(query("apply.infer_customers")).rowcount:
        warehouse.execute(query("apply.key_inferred_customers"))
    if is_large:
        warehouse.execute(query("apply.analyze_documents_and_payments"))
    _run_all(warehouse, ["resolve_payments", "resolve_lines"])
    if is_large:
        warehouse.execute(query("apply.analyze_delta_line"))
    if warehouse.execute(query("apply.infer_products")).rowcount:
        warehouse.execute(query("apply.key_inferred_products"))
    if with_old and old and warehouse.execute(query("apply.mark_unchanged_documents")).rowcount:
        _run_all(warehouse, _DROP_UNCHANGED)
    at("resolve")
    return lines


def prepare_batch_tables(warehouse: Connection) -> None:
    """Ensure that the session has empty batch tables of this version.

    Behind a transaction pooler an older version may have used the session. Statistics of an earlier large batch do no
    harm: the planner takes the number of rows from the tables' present size.
    """
    row = warehouse.execute(query("apply.inspect_batch_tables")).fetchone()
    if row is None or row["mark"] != _batch_mark():
        _run_all(warehouse, ["drop_batch_tables", "create_batch_tables"])
        mark = sql.SQL("COMMENT ON TABLE pg_temp.stage_document IS {}").format(sql.Literal(_batch_mark()))
        warehouse.execute(mark)
    elif row["is_used"]:
        warehouse.execute(query("apply.clear_batch_tables"))


@cache
def _batch_mark() -> str:
    return hashlib.sha256(query("apply.create_batch_tables").encode()).hexdigest()


def _run_all(warehouse: Connection, names: Sequence[str]) -> list[int]:
    """Run several statements of `apply.sql` that take no parameters in one round trip; return the rows of each."""
    cursor = warehouse.execute(sql.SQL(";\n").join(sql.SQL(query(f"apply.{name}")) for name in names))
    rows = [cursor.rowcount]
    while cursor.nextset():
        rows.append(cursor.rowcount)
    return rows
