"""What a Dagster run says of its background job: enough to rebuild the job from the run alone."""

import json
from collections.abc import Mapping
from typing import Any

JOB_ID = "salespulse/job_id"
JOB_KIND = "salespulse/job_kind"
JOB_TENANT = "salespulse/job_tenant"
JOB_ATTEMPT = "salespulse/job_attempt"
# The whole job when its run was made, as JSON.
JOB_RECORD = "salespulse/job_record"
# What the run gave, as JSON: set by the run itself, so that it is not lost with Redis.
JOB_RESULT = "salespulse/job_result"

# Dagster's own.
RETRY_NUMBER = "dagster/retry_number"
WILL_RETRY = "dagster/will_retry"
PARENT_RUN = "dagster/parent_run_id"


def parse_json(tags: Mapping[str, str], tag: str) -> Any:
    """Give what a tag holds; None where it is not there, or not JSON."""
    try:
        return json.loads(tags[tag])
    except (KeyError, ValueError):
        return None
