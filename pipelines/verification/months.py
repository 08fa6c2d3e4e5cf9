"""Which months there is anything of: history may have gaps of decades, where a moment was typed wrong."""

from datetime import date

from psycopg import sql

from dbsql import query
from pipelines.refresh.connections import Connections
from pipelines.refresh.rollups import Rollup


def months_with_rows(connections: Connections, rollups: tuple[Rollup, ...]) -> set[date]:
    """Give the first day of each month that the facts or one of these rollups have rows of; reads them whole."""
    warehouse = connections.warehouse
    months = {row["month"] for row in warehouse.execute(query("verify.facts_months"))}
    for rollup in rollups:
        statement = sql.SQL("SELECT DISTINCT date_trunc('month', {0})::date AS month FROM {1}")
        rows = warehouse.execute(statement.format(sql.Identifier(rollup.date_column), rollup.table))
        months |= {row["month"] for row in rows}
    return months


def months_of_source(connections: Connections) -> set[date]:
    """Give the first day of each month that the snapshot's source may have business dates of."""
    return {row["month"] for row in connections.replica.execute(query("source_state.history_months"))}
