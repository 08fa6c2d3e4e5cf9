"""Whether a run is at work that applies everything pending, so that none beside it is needed."""

import dagster as dg

from pipelines.tags import DRAINS_TAGS

IN_PROGRESS = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def is_draining(instance: dg.DagsterInstance) -> bool:
    """Tell whether a run that applies everything pending is queued or started."""
    filters = dg.RunsFilter(statuses=list(IN_PROGRESS), tags=DRAINS_TAGS)
    return bool(instance.get_run_ids(filters, limit=1))
