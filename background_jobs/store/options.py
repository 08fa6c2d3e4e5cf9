"""How a job store behaves: where its keys are, how long it waits and how long it keeps things."""

from __future__ import annotations

import re
from dataclasses import dataclass

from background_jobs.store.errors import JobUsageError

_ONE_TAG = re.compile(r"[^{}]*\{[^{}]+\}[^{}]*").fullmatch


@dataclass(frozen=True, slots=True)
class JobStoreOptions:
    """Settings of a store; every process that shares the jobs should have the same.

    Attributes:
        prefix: begins every Redis key; holds the one hash tag that keeps all keys on one node of a cluster.
        timeout_s: the most that one answer of Redis may take, and one connection to be made.
        connections: the most connections of one store; callers past it wait up to `timeout_s`, those of an asynchronous one for
            their turn, as long as Redis answers.
        queued_per_tenant: the most jobs of one tenant that may wait (queued or retrying).
        queued: the most jobs of all tenants that may wait.
        full_retry_s: what `QueueFullError` says about when to try again.
        events_s: how long a job's event stream outlives the job, in seconds.
        documents_s: how long a job's document outlives the job, in seconds.
        idempotency_s: how long an idempotency key is remembered after its submission.
        events_length: about how many events one job keeps, newest.
        feed_length: about how many events the feed of all jobs keeps.
        sweep_gap_s: a longer pause between two sweeps counts as an outage, after which leases, starts and cancellations
            get their time again: their signs of life could not arrive.
        gauge_s: how long a gauge that was set is shown.
        bytes_max: the most bytes of a job's params or result, as JSON.
    """

    prefix: str = "sp:{jobs}:"
    timeout_s: float = 1.0
    connections: int = 32
    queued_per_tenant: int = 1_000
    queued: int = 100_000
    full_retry_s: float = 10.0
    events_s: float = 3_600.0
    documents_s: float = 7 * 86_400.0
    idempotency_s: float = 86_400.0
    events_length: int = 10_000
    feed_length: int = 100_000
    sweep_gap_s: float = 10.0
    gauge_s: float = 60.0
    bytes_max: int = 1 << 20

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            JobUsageError: with the setting at fault.
        """
        if _ONE_TAG(self.prefix) is None:
            raise JobUsageError(f"the prefix needs exactly one hash tag, as in 'sp:{{jobs}}:', not {self.prefix!r}")
        for name in ("timeout_s", "events_s", "documents_s", "idempotency_s", "sweep_gap_s", "gauge_s", "full_retry_s"):
            if not getattr(self, name) > 0:
                raise JobUsageError(f"{name} is in seconds and above 0, not {getattr(self, name)!r}")
        for name in (
            "connections",
            "queued_per_tenant",
            "queued",
            "events_length",
            "feed_length",
            "bytes_max",
        ):
            if getattr(self, name) < 1:
                raise JobUsageError(f"{name} is at least 1, not {getattr(self, name)!r}")
