"""The definitions that Dagster loads. No server is contacted until a run needs one."""

import dagster as dg

from pipelines.assets.backfill import backfilled_month
from pipelines.assets.checks import CHECKS
from pipelines.assets.refresh import refresh_tables
from pipelines.assets.source import source_specs
from pipelines.jobs import JOBS
from pipelines.resources import JobReporter, Primary, Replica, Warehouse
from pipelines.schedules import SCHEDULES
from pipelines.sensors import refresh_sensor

defs = dg.Definitions(
    assets=[*source_specs(), refresh_tables, backfilled_month],
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=[refresh_sensor],
    resources={"replica": Replica(), "warehouse": Warehouse(), "primary": Primary(), "jobs": JobReporter()},
    # One process a run: a refresh is one step, and a second process would only cost its start.
    executor=dg.in_process_executor,
)
