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
from pipelines.refresh.copy_stream import array_literal, feed, source_query, start_copy
from pipelines.refresh.rollups import all_rollups, merge_delta
from pipelines.source.mapping import SourceMapping

_FACT_STATEMENTS = (
    ("fact_document_line", "remove_old_lines"),
    ("fact_document_line", "insert_lines"),
    ("fact_document_payment", "remove_old_payments"),
    ("fact_document_payment", "insert_payments"),
    ("fact_document", "remove_gone_documents"),
    ("fact_document", "update_documents"),
    ("fact_document", "insert_documents"),
)
_LEAVING_OUT = (
    "tell_same_documents_by_lines",
    "tell_same_documents_by_payments",
    "leave_out_same_lines",
    "leave_out_same_payments",
    "leave_out_same_old_documents",
    "leave_out_same_new_documents",
)
# From so many lines on, the planner is told how many there are.
_ANALYZE_ROWS = 1_000


@dataclass
class Applied:
    """Counts of what a batch did.

    Attributes:
        documents: sales and returns looked at.
        lines: source lines read.
        rows_written: table to rows inserted, updated or deleted.
        quarantined: documents that could not be counted.
    """

    documents: int = 0
    lines: int = 0
    rows_written: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0

    def wrote(self, table: str, rows: int) -> None:
        """Count rows written to a table."""
        self.rows_written[table] = self.rows_written.get(table, 0) + rows

    def add(self, other: "Applied") -> None:
        """Take in the counts of another batch."""
        self.documents += other.documents
        self.lines += other.lines
        self.quarantined += other.quarantined
        for table, rows in other.rows_written.items():
            self.wrote(table, rows)


def apply_documents(
    connections: Connections,
    mapping: SourceMapping,
    documents: Collection[Document],
    *,
    at: Callable[[str], None],
) -> Applied:
    """Bring facts and rollups up to the snapshot's state of these documents; doing so twice changes nothing.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction and holding the lock.
        mapping: which application.
        documents: (kind, natural key), each once.
        at: called with each step's name as it ends (a step may be `resolve`, a rollup's name, `facts`, …).
    """
    lines = stage_documents(connections, mapping, documents, at=at, with_old=True)
    result = Applied(documents=len(documents), lines=lines)
    warehouse = connections.warehouse
    # Sorting keeps the memory of wide numeric sums bounded, and inserts in the order of the primary key.
    warehouse.execute(query("apply.prefer_sorting"))
    for rollup in all_rollups():
        result.wrote(rollup.name, warehouse.execute(merge_delta(rollup)).rowcount)
        at(rollup.name)
    written = _run_all(warehouse, ["prefer_nothing", *(statement for _, statement in _FACT_STATEMENTS)])[1:]
    for (table, _), rows in zip(_FACT_STATEMENTS, written, strict=True):
        result.wrote(table, rows)
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

    Leaves `old_document` (what was last applied), `new_document`, `delta_line` and `delta_payment` (what is now, in
    surrogate keys and business dates); gives the source lines read. With `with_old` the two have what was last applied too, with the
    opposite sign, and documents that are still what was last applied are in none of the four.
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

    # The replica looks for the next rows while the warehouse works on the ones before.
    with start("document") as rows:
        _prepare_batch_tables(warehouse)
        feed(rows, warehouse, "apply.copy_stage_document")
    with start("line") as rows:
        old = warehouse.execute(query("apply.find_old_documents")).rowcount
        lines = feed(rows, warehouse, "apply.copy_stage_line")
    # For more than a few rows a bad guess of the planner's costs more than the look.
    is_large = lines > _ANALYZE_ROWS
    with start("payment") as rows:
        if with_old:
            _run_all(warehouse, ["subtract_old_lines", "subtract_old_payments"])
        if is_large:
            _run_all(warehouse, ["sample_little", "analyze_stage_document", "analyze_stage_line"])
        feed(rows, warehouse, "apply.copy_stage_payment")
    at("stage")
    _run_all(warehouse, ["keep_join_order", "resolve_documents", "free_join_order"])
    if warehouse.execute(query("apply.infer_customers")).rowcount:
        warehouse.execute(query("apply.key_inferred_customers"))
    if is_large:
        _run_all(warehouse, ["analyze_stage_payment", "analyze_new_document"])
    _run_all(warehouse, ["resolve_payments", "resolve_lines"])
    if is_large:
        warehouse.execute(query("apply.analyze_delta_line"))
    if warehouse.execute(query("apply.infer_products")).rowcount:
        warehouse.execute(query("apply.key_inferred_products"))
    if with_old and old and warehouse.execute(query("apply.find_same_documents")).rowcount:
        _run_all(warehouse, _LEAVING_OUT)
    at("resolve")
    return lines


def clear_batch_tables(connections: Connections) -> None:
    """Empty the batch's temporary tables before the transaction ends: it will not need their rows any more."""
    connections.warehouse.execute(query("apply.clear_batch_tables"))


def _prepare_batch_tables(warehouse: Connection) -> None:
    """See that the session has empty batch tables of this version's making.

    Behind a transaction pooler the session may be one that an older version has used. Statistics that a large batch left do a small
    one no harm: the planner takes the number of rows from the tables' present size.
    """
    row = warehouse.execute(query("apply.look_at_batch_tables")).fetchone()
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
    """Run several statements of `apply.sql` that take no parameters in one round trip; give the rows of each."""
    cursor = warehouse.execute(sql.SQL(";\n").join(sql.SQL(query(f"apply.{name}")) for name in names))
    rows = [cursor.rowcount]
    while cursor.nextset():
        rows.append(cursor.rowcount)
    return rows
