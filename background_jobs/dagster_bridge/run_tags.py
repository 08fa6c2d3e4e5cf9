"""The tags of Dagster runs, Salespulse's and Dagster's own. A job can be restored from its run's tags."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

JOB_ID = "salespulse/job_id"
JOB_KIND = "salespulse/job_kind"
JOB_TENANT = "salespulse/job_tenant"
JOB_ATTEMPT = "salespulse/job_attempt"
# The whole job when its run was launched, as JSON.
JOB_RECORD = "salespulse/job_record"
# The result, as JSON: set by the run itself, so that it is not lost with Redis.
JOB_RESULT = "salespulse/job_result"

# A run that applies all pending changes: no other is needed meanwhile.
DRAINS = "salespulse/drains"
DRAINS_TAGS = {DRAINS: "true"}

# Dagster's own tags.
# Seconds until Dagster's run monitoring fails a run; without it a run whose worker died stays STARTED for ever.
MAX_RUNTIME = "dagster/max_runtime"
RETRY_NUMBER = "dagster/retry_number"
WILL_RETRY = "dagster/will_retry"
PARENT_RUN = "dagster/parent_run_id"


def parse_json(tags: Mapping[str, str], tag: str) -> Any:
    """Return a tag's JSON value; None if the tag is missing or not JSON."""
    try:
        return json.loads(tags[tag])
    except (KeyError, ValueError):
        return None


def is_draining(instance: dg.DagsterInstance) -> bool:
    """Whether a run that applies all pending changes is queued or in progress."""
    statuses = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    filters = dg.RunsFilter(statuses=statuses, tags=DRAINS_TAGS)
    return bool(instance.get_run_ids(filters, limit=1))
