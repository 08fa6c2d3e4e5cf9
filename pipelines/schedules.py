"""Schedules: what runs by the clock, whatever the sensor sees."""

import dagster as dg

from background_jobs.dagster_bridge.job_store import request_refresh
from background_jobs.dagster_bridge.run_tags import is_draining
from dbconnect import load_settings
from pipelines.jobs import health_job, maintenance_job, refresh_job, verify_job
from pipelines.partitions import month_in_turn

_RUNNING = dg.DefaultScheduleStatus.RUNNING


@dg.schedule(
    job=refresh_job,
    cron_schedule="*/10 * * * *",
    default_status=_RUNNING,
    description="A refresh every 10 minutes, whatever happens.",
)
def refresh_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Submit a refresh to the job store, so that triggers coalesce; request a run where it is not taken."""
    job_id = request_refresh(subject="schedule", is_draining=lambda: is_draining(context.instance))
    return dg.RunRequest() if job_id is None else dg.SkipReason(f"submitted as job {job_id}")


health_schedule = dg.ScheduleDefinition(
    name="health_schedule",
    job=health_job,
    cron_schedule="5-59/10 * * * *",
    default_status=_RUNNING,
    description="The cheap checks, between two scheduled refreshes.",
)

verify_schedule = dg.ScheduleDefinition(
    name="verify_schedule",
    job=verify_job,
    cron_schedule="25 * * * *",
    default_status=_RUNNING,
    description="Verification of the recent 30 days.",
)

maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_schedule",
    job=maintenance_job,
    cron_schedule="40 * * * *",
    default_status=_RUNNING,
    description="Retention of Dagster's history and of the refresh log.",
)


@dg.schedule(
    job=verify_job,
    cron_schedule="15 3 * * *",
    default_status=_RUNNING,
    description="Verification of one month of history a night, in turn.",
)
def verify_history_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the month whose turn it is on the scheduled day."""
    first, last = month_in_turn(context.scheduled_execution_time.date(), load_settings().backfill_from)
    config = {"from_date": first.isoformat(), "to_date": last.isoformat()}
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time.date()} {first:%Y-%m}",
        run_config={"ops": {"verification": {"config": config}}},
        tags={"salespulse/month": f"{first:%Y-%m}"},
    )


SCHEDULES = (refresh_schedule, health_schedule, verify_schedule, verify_history_schedule, maintenance_schedule)
