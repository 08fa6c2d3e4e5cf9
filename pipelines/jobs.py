"""Dagster jobs: what the UI, the schedules and the HTTP API run by name.

All run in one process: a refresh is one step, and a second process would only cost its start.
"""

import dagster as dg

from background_jobs.dagster_bridge.run_tags import DRAINS_TAGS, MAX_RUNTIME
from pipelines.assets.backfill import backfilled_month
from pipelines.assets.checks import HEALTH_CHECKS, VERIFICATION_CHECKS
from pipelines.assets.refresh import refresh_tables
from pipelines.ops.export_report import export_report
from pipelines.ops.hello_world import say_hello
from pipelines.ops.observe_source import observe_source_assets
from pipelines.ops.rebuild import rebuild_tables
from pipelines.ops.repair import repair_tables
from pipelines.ops.retention import prune_history, prune_jobs

refresh_job = dg.define_asset_job(
    "refresh_job",
    selection=dg.AssetSelection.assets(refresh_tables).without_checks(),
    description="Applies everything that is pending. Safe to run at any time.",
    tags={**DRAINS_TAGS, MAX_RUNTIME: "3600"},
    executor_def=dg.in_process_executor,
)

backfill_job = dg.define_asset_job(
    "backfill_job",
    selection=dg.AssetSelection.assets(backfilled_month),
    description="Reads a month's sales again and applies them, beside live refreshes. May be stopped and resumed.",
    tags={**DRAINS_TAGS, MAX_RUNTIME: "21600"},
    executor_def=dg.in_process_executor,
)

verify_job = dg.define_asset_job(
    "verify_job",
    selection=VERIFICATION_CHECKS,
    description="Compares the rollups with the same SQL over the source, in one snapshot. Any difference is drift.",
    tags={MAX_RUNTIME: "7200"},
    executor_def=dg.in_process_executor,
)

health_job = dg.define_asset_job(
    "health_job",
    selection=HEALTH_CHECKS,
    description="Cheap checks: freshness and quarantine.",
    tags={MAX_RUNTIME: "600"},
    executor_def=dg.in_process_executor,
)


@dg.job(
    description="Verifies a range of business dates and recomputes what differs.",
    tags={**DRAINS_TAGS, MAX_RUNTIME: "7200"},
    executor_def=dg.in_process_executor,
)
def repair_job() -> None:
    """One step."""
    repair_tables()


@dg.job(
    description="Reads a range of sales again and repairs what differs, or rebuilds rollups from the facts.",
    tags={**DRAINS_TAGS, MAX_RUNTIME: "25200"},
    executor_def=dg.in_process_executor,
)
def rebuild_job() -> None:
    """One step."""
    rebuild_tables()


@dg.job(
    description="Writes a tenant's report into a file.",
    tags={MAX_RUNTIME: "2400"},
    executor_def=dg.in_process_executor,
)
def export_job() -> None:
    """One step."""
    export_report()


@dg.job(
    description="Counts to a number and greets: for trying the path of a background job.",
    tags={MAX_RUNTIME: "1200"},
    executor_def=dg.in_process_executor,
)
def hello_world_job() -> None:
    """One step."""
    say_hello()


@dg.job(
    description="Observes the source once and reports lag and pending changes of each source asset.",
    tags={MAX_RUNTIME: "300"},
    executor_def=dg.in_process_executor,
)
def observe_job() -> None:
    """One step."""
    observe_source_assets()


@dg.job(
    description="Prunes Dagster's own history, the refresh log and background jobs: see docs/dagster.md, Retention.",
    tags={MAX_RUNTIME: "3600"},
    executor_def=dg.in_process_executor,
)
def maintenance_job() -> None:
    """Two steps that do not need each other."""
    prune_history()
    prune_jobs()


JOBS = (
    refresh_job,
    backfill_job,
    verify_job,
    health_job,
    repair_job,
    rebuild_job,
    export_job,
    hello_world_job,
    observe_job,
    maintenance_job,
)
