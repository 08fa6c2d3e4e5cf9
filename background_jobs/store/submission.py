"""What a caller asks for: one job to be done, once."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from background_jobs.store.checks import checked_id, checked_seconds, checked_text, checked_whole
from background_jobs.store.errors import JobUsageError

PRIORITY_MAX = 10
_ATTEMPTS_MAX = 100
_KIND = re.compile(r"[A-Za-z0-9_.-]{1,100}").fullmatch


def new_job_id() -> str:
    """A UUIDv7 (RFC 9562, 6.2, method 3): Unix milliseconds, 12 bits of their fraction, 62 random bits; so ids sort by their age."""
    ms, ns = divmod(time.time_ns(), 1_000_000)
    number = ms << 80 | 7 << 76 | (ns << 12) // 1_000_000 << 64 | 2 << 62
    return str(uuid.UUID(int=number | int.from_bytes(os.urandom(8), "big") >> 2))


def run_id_of(job_id: str, attempt: int) -> str:
    """The id of the Dagster run of one attempt, always the same, so that dispatching it twice makes one run."""
    return str(uuid.uuid5(uuid.UUID(job_id), str(attempt)))


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The most seconds that a job may spend in each live state; fixed when it is submitted.

    Attributes:
        queue_s: queued (from when it may start) or retrying, until it is dispatched.
        start_s: dispatched, until its run starts.
        lease_s: running, between two signs of life; 0 for runs that give none.
        run_s: running, in all.
        cancel_s: canceling, until it counts as canceled whatever its run does.
    """

    queue_s: float = 3_600
    start_s: float = 120
    lease_s: float = 30
    run_s: float = 3_600
    cancel_s: float = 60

    def __post_init__(self) -> None:
        """Refuse what is no span of time.

        Raises:
            JobUsageError: with the deadline at fault.
        """
        for name in ("queue_s", "start_s", "run_s", "cancel_s"):
            checked_seconds(name, getattr(self, name), 0.001)
        checked_seconds("lease_s", self.lease_s)


@dataclass(frozen=True, slots=True)
class Submission:
    """One request for a job.

    Attributes:
        kind: the kind of job: letters, digits, `_`, `.` and `-`.
        tenant: the application's tenant id; "" for the system's own jobs.
        params: what to do, as JSON.
        subject: who asked, for the record.
        id: the job's id; made here, so that submitting again is a replay.
        priority: -10 to 10; higher ones of a tenant go first.
        delay_s: seconds until it may start.
        coalesce_key: joins a job of the same tenant, kind and key that has not been claimed yet; None never joins.
        idempotency_key: the same key of the same tenant gives the job that it gave before.
        fingerprint: of the request's body; an idempotency key with another one is refused.
        max_attempts: runs in all, retries included.
        retry_delay_s: seconds between an attempt's failure and the next.
        deadlines: the most that each live state may last.
    """

    kind: str
    tenant: str
    params: Mapping[str, Any]
    subject: str = ""
    id: str = field(default_factory=new_job_id)
    priority: int = 0
    delay_s: float = 0
    coalesce_key: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""
    max_attempts: int = 1
    retry_delay_s: float = 5
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        """Refuse what can't be kept. Whether `params` is JSON shows when it is submitted.

        Raises:
            JobUsageError: with the field at fault.
        """
        if not isinstance(self.kind, str) or _KIND(self.kind) is None:
            raise JobUsageError(f"a kind is 1 to 100 letters, digits, _ . or -, not {str(self.kind)[:60]!r}")
        for name in ("tenant", "subject", "fingerprint"):
            checked_text(name, getattr(self, name))
        for name in ("coalesce_key", "idempotency_key"):
            if getattr(self, name) is not None:
                checked_text(name, getattr(self, name))
        checked_id(self.id)
        checked_whole("priority", self.priority, -PRIORITY_MAX, PRIORITY_MAX)
        checked_whole("max_attempts", self.max_attempts, 1, _ATTEMPTS_MAX)
        checked_seconds("delay_s", self.delay_s)
        checked_seconds("retry_delay_s", self.retry_delay_s)
