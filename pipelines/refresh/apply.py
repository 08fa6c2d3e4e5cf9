"""Apply one batch of documents, in the warehouse's transaction that the caller opened.

Stage their present state, take the signed difference to what was last applied, add it to every rollup, replace the facts.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from dbsql import query
from pipelines.refresh.changes import Document
from pipelines.refresh.connections import Connection, Connections
from pipelines.refresh.copying import copy_across, source_query
from pipelines.refresh.rollups import all_rollups, merge_delta
from pipelines.source.mapping import SourceMapping

_STAGES = ("document", "line", "payment")
_FACT_STATEMENTS = (
    ("fact_document_line", "remove_old_lines"),
    ("fact_document_line", "insert_lines"),
    ("fact_document_payment", "remove_old_payments"),
    ("fact_document_payment", "insert_payments"),
    ("fact_document", "remove_gone_documents"),
    ("fact_document", "update_documents"),
    ("fact_document", "insert_documents"),
)
# From so many staged lines on, the planner is told how many there are.
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
        at: called with each step's name as it ends (a step may be `delta`, a rollup's name, `facts`, …).
    """
    lines = stage_documents(connections, mapping, documents, at=at)
    result = Applied(documents=len(documents), lines=lines)
    warehouse = connections.warehouse
    if warehouse.execute(query("apply.subtract_old_lines")).rowcount + lines > _ANALYZE_ROWS:
        warehouse.execute(query("apply.analyze_delta_line"))
    at("delta")
    # Sorting keeps the memory of wide numeric sums bounded, and inserts in the order of the primary key.
    warehouse.execute(query("apply.prefer_sorting"))
    for rollup in all_rollups():
        result.wrote(rollup.name, warehouse.execute(merge_delta(rollup)).rowcount)
        at(rollup.name)
    warehouse.execute(query("apply.prefer_nothing"))
    written = _run_all(warehouse, [statement for _, statement in _FACT_STATEMENTS])
    for (table, _), rows in zip(_FACT_STATEMENTS, written, strict=True):
        result.wrote(table, rows)
    result.quarantined = _run_all(warehouse, ["release_quarantine", "quarantine"])[-1]
    at("facts")
    return result


def stage_documents(
    connections: Connections, mapping: SourceMapping, documents: Collection[Document], *, at: Callable[[str], None]
) -> int:
    """Read documents from the snapshot into temporary tables of the warehouse's transaction and resolve them.

    Leaves `old_document` (what was last applied), `new_document`, `delta_line` and `stage_payment` (what is now, in
    surrogate keys and business dates); gives the source lines read.
    """
    warehouse = connections.warehouse
    drop_batch_tables(connections)
    # Sales first, then returns: a document's ordinal is its place in this order.
    sale_keys = [key for kind, key in documents if kind == "sale"]
    return_keys = [key for kind, key in documents if kind == "return"]
    parameters = {"sale_keys": sale_keys, "return_keys": return_keys, "sale_count": len(sale_keys)}
    rows = {}
    _run_all(warehouse, [f"create_stage_{stage}" for stage in _STAGES])
    for stage in _STAGES:
        rows[stage] = copy_across(
            connections.replica,
            source_query(f"copy_{stage}s", mapping),
            parameters,
            warehouse,
            f"apply.copy_stage_{stage}",
        )
    # Fresh temporary tables have no statistics, and for more than a few rows a bad guess costs more than the look.
    is_large = rows["line"] > _ANALYZE_ROWS
    if is_large:
        _run_all(warehouse, ["sample_little", *(f"analyze_stage_{stage}" for stage in _STAGES)])
    at("stage")
    warehouse.execute(query("apply.find_old_documents"))
    warehouse.execute(query("apply.resolve_documents"))
    if warehouse.execute(query("apply.infer_customers")).rowcount:
        warehouse.execute(query("apply.key_inferred_customers"))
    if is_large:
        warehouse.execute(query("apply.analyze_new_document"))
    warehouse.execute(query("apply.resolve_lines"))
    if warehouse.execute(query("apply.infer_products")).rowcount:
        warehouse.execute(query("apply.key_inferred_products"))
    at("resolve")
    return rows["line"]


def drop_batch_tables(connections: Connections) -> None:
    """Drop the batch's temporary tables where an earlier batch of the same transaction made them."""
    row = connections.warehouse.execute(query("apply.has_batch_tables")).fetchone()
    if row is not None and row["has_tables"]:
        connections.warehouse.execute(query("apply.drop_batch_tables"))


def _run_all(warehouse: Connection, names: Sequence[str]) -> list[int]:
    """Run several statements of `apply.sql` that take no parameters in one round trip; give the rows of each."""
    cursor = warehouse.execute(sql.SQL(";\n").join(sql.SQL(query(f"apply.{name}")) for name in names))
    rows = [cursor.rowcount]
    while cursor.nextset():
        rows.append(cursor.rowcount)
    return rows
