"""The job store of the settings."""

import redis

from background_jobs.kinds import KINDS
from background_jobs.store import Caps, JobStore, JobStoreOptions
from dbconnect import Settings


def open_store(settings: Settings, *, options: JobStoreOptions | None = None) -> JobStore:
    """Give a store on the settings' Redis; nothing is asked of it yet.

    Raises:
        SettingsError: no Redis is set.
    """
    client = redis.Redis.from_url(settings.url("redis_url"))
    return JobStore(client, options or JobStoreOptions())


def caps_of(settings: Settings) -> Caps:
    """Give how many jobs may be in flight: the kinds' own numbers, and those that the settings give instead."""
    own = {kind.name: kind.most_at_a_time for kind in KINDS.values() if kind.most_at_a_time is not None}
    return Caps(per_tenant=settings.jobs_per_tenant, per_kind=own | settings.most_jobs_per_kind)
