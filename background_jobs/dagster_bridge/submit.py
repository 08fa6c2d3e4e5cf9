"""Ask for a refresh on the system's behalf: what the schedule and the sensor do, so that their triggers coalesce with each other."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache

from background_jobs.dagster_bridge.store import open_store
from background_jobs.kinds import kind_named
from background_jobs.kinds.kind import SYSTEM_TENANT
from background_jobs.store import JobError, JobStore, JobStoreOptions
from dbconnect import Settings, load_settings

_LOG = logging.getLogger(__name__)

# The sensor looks four times a second: an answer that takes longer is none.
_TIMEOUT_S = 0.5
# A job that has waited longer than this is not being taken: nobody runs the bridge, or it has trouble.
_TAKEN_WITHIN_S = 10.0
_PRIORITY = 5
_KEY = "system"


def submit_refresh(*, subject: str, is_draining: Callable[[], bool]) -> str | None:
    """Ask the job store for a refresh; give the job's id, None where Dagster has to be asked directly.

    The main job must not depend on Redis: no job store, one that does not answer, or one whose jobs nobody takes counts as
    none.

    Args:
        subject: who asks, for the record.
        is_draining: whether a run that applies everything pending is queued or started: a job may well wait for that.
    """
    settings = load_settings()
    if settings.redis_url is None:
        return None
    submission = kind_named("refresh_sales_summary").submission(
        tenant=SYSTEM_TENANT,
        subject=subject,
        # As long as the setting says, which may be longer than who asks over HTTP may wish.
        params={"drain_seconds": None},
        priority=_PRIORITY,
        coalesce_key=_KEY,
    )
    try:
        submitted = _store(settings).submit(submission)
    except JobError as error:
        _LOG.warning("the refresh is asked of Dagster directly: %s", error)
        return None
    waited_s = time.time() - submitted.job.created_ms / 1000
    if submitted.outcome == "joined" and waited_s > _TAKEN_WITHIN_S and not is_draining():
        _LOG.warning(
            "job %s has waited for %.0f s: the refresh is asked of Dagster directly", submitted.job.id, waited_s
        )
        return None
    return submitted.job.id


@lru_cache(maxsize=4)
def _store(settings: Settings) -> JobStore:
    return open_store(settings, options=JobStoreOptions(timeout_s=_TIMEOUT_S, connections=4))
