"""The tags that Salespulse puts on Dagster runs: those that name a run's background job suffice to rebuild the job."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

JOB_ID = "salespulse/job_id"
JOB_KIND = "salespulse/job_kind"
JOB_TENANT = "salespulse/job_tenant"
JOB_ATTEMPT = "salespulse/job_attempt"
# The whole job when its run was made, as JSON.
JOB_RECORD = "salespulse/job_record"
# What the run gave, as JSON: set by the run itself, so that it is not lost with Redis.
JOB_RESULT = "salespulse/job_result"

# Such a run applies everything that is pending, so that none beside it is needed.
DRAINS = "salespulse/drains"
DRAINS_TAGS = {DRAINS: "true"}

# Dagster's own.
# Seconds until Dagster's run monitoring ends a run: without it, one whose worker died stays STARTED for ever.
MAX_RUNTIME = "dagster/max_runtime"
RETRY_NUMBER = "dagster/retry_number"
WILL_RETRY = "dagster/will_retry"
PARENT_RUN = "dagster/parent_run_id"


def parse_json(tags: Mapping[str, str], tag: str) -> Any:
    """Give what a tag holds; None where it is not there, or not JSON."""
    try:
        return json.loads(tags[tag])
    except (KeyError, ValueError):
        return None


IN_PROGRESS = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def is_draining(instance: dg.DagsterInstance) -> bool:
    """Tell whether a run that applies everything pending is queued or started."""
    filters = dg.RunsFilter(statuses=list(IN_PROGRESS), tags=DRAINS_TAGS)
    return bool(instance.get_run_ids(filters, limit=1))
