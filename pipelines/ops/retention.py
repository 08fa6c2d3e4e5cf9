"""Retention of Dagster's own history, of the refresh log and of background jobs. `dbsql/queries/retention.sql` has the SQL.

Dagster purges ticks by itself (`retention` in dagster.yaml). Runs go through its interface, event rows by SQL, since it
has no interface for them: asset events must stay, or partitions would count as never materialised. The change log is not
pruned here but by the refresh, behind the watermark.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from background_jobs.dagster_bridge.archive import prune_archive
from background_jobs.dagster_bridge.job_store import open_job_store
from background_jobs.store import JobError
from dbconnect import load_settings
from dbsql import query
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.refresh import Connection, connect_route
from pipelines.resources import Warehouse

PRUNE_BATCH_ROWS = 10_000
# Some 25 ms each; the rest goes an hour later.
RUN_LIMIT = 5_000

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start")


@dg.op(retry_policy=RETRIES)
def prune_history(context: dg.OpExecutionContext, warehouse: Warehouse) -> None:
    """Prune Dagster's history and the refresh log older than the settings' ages."""
    settings, now = load_settings(), datetime.now(UTC)
    events_before = now - timedelta(days=settings.event_keep_days)
    runs_before = now - timedelta(days=settings.run_keep_days)
    with as_dagster_failure("pruning Dagster's history"):
        context.log.info("%d runs from before %s pruned", prune_runs(context.instance, runs_before), runs_before)
        if settings.dagster_url is None:
            context.log.warning("SALESPULSE_DAGSTER_URL is not set: Dagster's event log is not pruned")
        else:
            with connect_route(settings.url("dagster_url"), "Dagster storage") as storage:
                rows = prune_events(storage, events_before)
            context.log.info("%d event rows from before %s pruned", rows, events_before)
        with warehouse.connect() as connection:
            rows = _prune(connection, "retention.prune_refresh_log", runs_before)
        context.log.info("%d rows of the refresh log pruned", rows)


@dg.op(retry_policy=RETRIES)
def prune_jobs(context: dg.OpExecutionContext, warehouse: Warehouse) -> None:
    """Prune the archive of background jobs, exported reports, and the job store's lists, by the settings' ages."""
    # Imported here: pandas takes a second, the HTTP client a tenth, and most processes that load these definitions
    # neither export nor deliver.
    from background_jobs.exports import expire_exports  # noqa: PLC0415
    from background_jobs.webhooks import prune_deliveries  # noqa: PLC0415

    settings = load_settings()
    files = expire_exports(settings.exports, keep_s=settings.export_keep_hours * 3600)
    context.log.info("%d exported reports removed", files)
    with as_dagster_failure("pruning the jobs' archive"), warehouse.connect() as connection:
        rows = prune_archive(connection, keep_days=settings.jobs_archive_days)
        deliveries = prune_deliveries(connection, keep_days=settings.jobs_archive_days)
    context.log.info("%d jobs removed from the archive, %d webhooks from the log of deliveries", rows, deliveries)
    if settings.redis_url is None:
        return
    try:
        context.log.info("%d jobs taken off the job store's lists", open_job_store(settings).prune())
    except JobError as error:
        context.log.warning("the job store is not pruned this time: %s", error)


def prune_events(storage: Connection, before: datetime) -> int:
    """Delete old event rows that are not asset events, and old observations, from Dagster's database; return the rows."""
    return sum(_prune(storage, name, before) for name in ("retention.prune_events", "retention.prune_observations"))


def prune_runs(instance: dg.DagsterInstance, before: datetime, *, limit: int = RUN_LIMIT) -> int:
    """Delete ended runs without a partition; return how many.

    A run of a partition stays, and so does one that an asset's newest materialisation or observation came from: deleting
    a run deletes those.

    Args:
        instance: whose runs.
        before: runs created earlier go.
        limit: how many at most.
    """
    keep = _newest_runs(instance)
    old = (
        run.run_id
        for run in _ended_runs(instance, before)
        if run.run_id not in keep and not any(tag in run.tags for tag in _PARTITION_TAGS)
    )
    # Listed before the first is deleted: a deleted run can't be a cursor.
    run_ids = list(islice(old, limit))
    for run_id in run_ids:
        instance.delete_run(run_id)
    return len(run_ids)


def _newest_runs(instance: dg.DagsterInstance) -> set[str]:
    keys = instance.all_asset_keys()
    entries = [record.asset_entry for record in instance.get_asset_records(keys)] if keys else []
    newest = [entry.last_materialization_record for entry in entries]
    newest += [entry.last_observation_record for entry in entries]
    return {record.run_id for record in newest if record is not None}


def _ended_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[dg.DagsterRun]:
    cursor = None
    while True:
        filters = dg.RunsFilter(statuses=list(_ENDED), created_before=before)
        records = instance.get_run_records(filters, limit=500, ascending=True, cursor=cursor)
        if not records:
            return
        cursor = records[-1].dagster_run.run_id
        yield from (record.dagster_run for record in records)


def _prune(connection: Connection, name: str, before: datetime) -> int:
    deleted = 0
    while True:
        rows = connection.execute(query(name), {"before": before, "row_limit": PRUNE_BATCH_ROWS}).rowcount
        deleted += rows
        if rows < PRUNE_BATCH_ROWS:
            return deleted
