"""Open the job store that the settings name, and request a refresh through it for the schedule and the sensor."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache

import redis

from background_jobs.kinds import KINDS, SYSTEM_TENANT, get_kind
from background_jobs.store import Caps, JobError, JobStore, JobStoreOptions
from dbconnect import Settings, load_settings

_logger = logging.getLogger(__name__)

# The sensor polls four times a second, so it can't wait long for Redis.
_TIMEOUT_S = 0.5
# A job that has waited longer than this shows that no bridge runs, or that it has trouble.
_CLAIM_TIMEOUT_S = 10.0
_PRIORITY = 5
_COALESCE_KEY = "system"


def open_job_store(settings: Settings, *, options: JobStoreOptions | None = None) -> JobStore:
    """Return a job store on the settings' Redis, without a connection yet.

    Raises:
        SettingsError: no Redis is set.
    """
    client = redis.Redis.from_url(settings.url("redis_url"))
    return JobStore(client, options or JobStoreOptions())


def concurrency_caps(settings: Settings) -> Caps:
    """Return how many jobs may be in flight: the kinds' own limits, overridden by the settings."""
    kind_caps = {kind.name: kind.max_in_flight for kind in KINDS.values() if kind.max_in_flight is not None}
    return Caps(per_tenant=settings.jobs_per_tenant, per_kind=kind_caps | settings.most_jobs_per_kind)


def request_refresh(*, subject: str, is_draining: Callable[[], bool]) -> str | None:
    """Submit a refresh job for all tenants; return its id, or None if the caller has to launch a run in Dagster itself.

    The refresh must not depend on Redis: the answer is None also where no job store is set, where it does not answer, or
    where no bridge claims its jobs. The requests of schedule and sensor coalesce.

    Args:
        subject: who requests it, for the record.
        is_draining: whether a run that applies all pending changes is queued or in progress: a job may wait for that.
    """
    settings = load_settings()
    if settings.redis_url is None:
        return None
    submission = get_kind("refresh_sales_summary").submission(
        tenant=SYSTEM_TENANT,
        subject=subject,
        # None: as the setting says, which may be longer than a request over HTTP may ask for.
        params={"drain_seconds": None},
        priority=_PRIORITY,
        coalesce_key=_COALESCE_KEY,
    )
    try:
        result = _quick_store(settings).submit(submission)
    except JobError as error:
        _logger.warning("launching the refresh in Dagster directly: %s", error)
        return None
    waited_s = time.time() - result.job.created_ms / 1000
    if result.outcome == "joined" and waited_s > _CLAIM_TIMEOUT_S and not is_draining():
        _logger.warning("launching the refresh in Dagster directly: job %s waits for %.0f s", result.job.id, waited_s)
        return None
    return result.job.id


@lru_cache(maxsize=4)
def _quick_store(settings: Settings) -> JobStore:
    return open_job_store(settings, options=JobStoreOptions(timeout_s=_TIMEOUT_S, connections=4))
