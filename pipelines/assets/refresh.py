"""The refresh: one step that writes all dimensions, facts and rollups together, so that no dashboard mixes two states."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from dbconnect import load_settings
from dbsql import query
from pipelines.assets.names import WAREHOUSE_POOL, table_key
from pipelines.assets.preview import markdown_table, plot_net, preview_rollup
from pipelines.assets.tables import DIMENSIONS, FACTS, table_specs
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.progress import ProgressLog, follow_refresh
from pipelines.refresh import Connections, RefreshOptions, RefreshResult, all_rollups, refresh
from pipelines.refresh.observe import SourceObservation, observe_source
from pipelines.resources import JobReporter, Primary, Replica, Warehouse, open_routes


class RefreshConfig(dg.Config):
    """How long to keep polling for new changes, in seconds; by default `SALESPULSE_DRAIN_SECONDS`."""

    drain_seconds: float | None = None


@dg.multi_asset(
    name="refresh",
    specs=table_specs(),
    can_subset=False,
    pool=WAREHOUSE_POOL,
    retry_policy=RETRIES,
    description=(
        "Reads what changed from one snapshot of the replica, and adds the signed difference to facts and rollups in one "
        "warehouse transaction with the watermark. Doing it twice changes nothing."
    ),
)
def refresh_tables(
    context: dg.AssetExecutionContext,
    config: RefreshConfig,
    replica: Replica,
    warehouse: Warehouse,
    primary: Primary,
    jobs: JobReporter,
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring every table up to the replica's present state; see `pipelines.refresh.refresh`."""
    started_s = time.perf_counter()
    with jobs.open(context) as reporter, as_dagster_failure("refreshing"):
        settings = load_settings()
        with open_routes(replica, warehouse, primary) as connections:
            result = refresh(
                connections,
                RefreshOptions.from_settings(settings),
                drain_s=settings.drain_seconds if config.drain_seconds is None else config.drain_seconds,
                progress=follow_refresh(reporter, ProgressLog(context.log)),
            )
            materializations = describe_refresh(
                connections, result, observe_source(connections), time.perf_counter() - started_s
            )
        reporter.result({"documents": result.applied.documents, "as_of": result.as_of and result.as_of.isoformat()})
    for reason in result.reconciled:
        context.log.warning("the source's history was rewritten, everything was queued again: %s", reason)
    yield from materializations


def describe_refresh(
    connections: Connections, result: RefreshResult, observation: SourceObservation, seconds: float
) -> list[dg.MaterializeResult[None]]:
    """Return one materialisation per table, in the order of the specs.

    Each carries the run's totals; the first fact also what belongs to the run as a whole.

    Args:
        connections: to read sizes and previews from.
        result: of the refresh.
        observation: of the source, after it.
        seconds: of wall time since the step started_s.
    """
    warehouse = connections.warehouse
    warehouse.execute(query("assets.flush_statistics"))
    sizes = {row["table_name"]: row["live_rows"] for row in warehouse.execute(query("assets.row_estimates"))}
    lag_s = (datetime.now(UTC) - result.as_of).total_seconds() if result.as_of is not None else None
    shared: dict[str, dg.MetadataValue] = {
        "changed_documents": dg.MetadataValue.int(result.applied.documents),
        "horizon": dg.MetadataValue.int(result.horizon),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
    }
    if lag_s is not None:
        shared["lag_s"] = dg.MetadataValue.float(round(lag_s, 3))
    extra: dict[str, dict[str, dg.MetadataValue]] = {
        FACTS[0]: _run_metadata(result, observation),
        **{rollup.name: {"preview": preview_rollup(warehouse, rollup)} for rollup in all_rollups()},
    }
    plot = plot_net(warehouse)
    if plot is not None:
        extra["daily_store_sales"]["net_by_day"] = plot
    return [
        dg.MaterializeResult(
            asset_key=table_key(name),
            metadata={
                **shared,
                "dagster/row_count": dg.MetadataValue.int(sizes.get(name, 0)),
                **_rows_written(name, result),
                **extra.get(name, {}),
            },
        )
        for name in (*DIMENSIONS, *FACTS, *(rollup.name for rollup in all_rollups()))
    ]


def _rows_written(name: str, result: RefreshResult) -> dict[str, dg.MetadataValue]:
    """Return the rows written to a fact or rollup; dimensions are counted together."""
    if name in DIMENSIONS:
        return {}
    return {"rows_written": dg.MetadataValue.int(result.applied.rows_written.get(name, 0))}


def _run_metadata(result: RefreshResult, observation: SourceObservation) -> dict[str, dg.MetadataValue]:
    slowest = sorted(result.seconds.items(), key=lambda item: -item[1])
    metadata: dict[str, dg.MetadataValue] = {
        "lines": dg.MetadataValue.int(result.applied.lines),
        "dimension_rows": dg.MetadataValue.int(result.dimension_rows),
        "transactions": dg.MetadataValue.int(result.transactions),
        "pending_documents": dg.MetadataValue.int(result.pending_documents),
        "quarantined_documents": dg.MetadataValue.int(observation.quarantined_documents),
        "applied_lsn": dg.MetadataValue.text(result.applied_lsn),
        "timeline": dg.MetadataValue.int(result.timeline),
        "pruned_changes": dg.MetadataValue.int(result.pruned),
        "seconds_by_phase": dg.MetadataValue.md(
            markdown_table(("phase", "seconds"), ((name, f"{seconds:.4f}") for name, seconds in slowest))
        ),
    }
    if observation.lag_bytes is not None:
        metadata["lag_bytes"] = dg.MetadataValue.int(observation.lag_bytes)
    if result.as_of is not None:
        metadata["as_of"] = dg.MetadataValue.timestamp(result.as_of)
    if result.reconciled:
        metadata["reconciled"] = dg.MetadataValue.text("; ".join(result.reconciled))
    return metadata
