"""The states of a job, the steps between them, and the reasons for failing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. Every live state has a deadline; the ended ones never change."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    RETRYING = "retrying"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})
LIVE = frozenset(JobState) - ENDED

_CANCEL_OR_FAIL = {JobState.CANCELED, JobState.FAILED}

#: Every legal step. The scripts take no other, and emit one event for each.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.DISPATCHED} | _CANCEL_OR_FAIL),
    JobState.DISPATCHED: frozenset({JobState.RUNNING, JobState.RETRYING, JobState.CANCELING} | _CANCEL_OR_FAIL),
    JobState.RUNNING: frozenset({JobState.RETRYING, JobState.CANCELING} | ENDED),
    JobState.RETRYING: frozenset({JobState.DISPATCHED, JobState.CANCELING} | _CANCEL_OR_FAIL),
    JobState.CANCELING: ENDED,
    **{state: frozenset() for state in ENDED},
}


class FailureCode(StrEnum):
    """Why a job failed (or why its last attempt did, while it is retrying)."""

    STEP_FAILURE = "STEP_FAILURE"
    WORKER_LOST = "WORKER_LOST"
    START_TIMEOUT = "START_TIMEOUT"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    DISPATCH_FAILED = "DISPATCH_FAILED"
