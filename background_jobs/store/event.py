"""What happened to a job: a change of state, or progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from background_jobs.store.job import rfc3339
from background_jobs.store.states import JobState


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of one job, with the job's particulars as they were then.

    Attributes:
        seq: 1, 2, 3, … within the job.
        at_ms: Unix milliseconds by Redis's clock.
        type: `state`, for each step into a state, or `progress`.
        feed_id: where it stands in the feed; None if it was read from the job's own stream.
    """

    job_id: str
    tenant: str
    kind: str
    seq: int
    at_ms: int
    type: Literal["state", "progress"]
    state: JobState
    attempt: int
    code: str | None = None
    percent: float | None = None
    step: str | None = None
    message: str | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    feed_id: str | None = None

    def as_document(self) -> dict[str, Any]:
        """The event for JSON, with its time `at` in RFC 3339."""
        return {
            "job_id": self.job_id,
            "kind": self.kind,
            "seq": self.seq,
            "at": rfc3339(self.at_ms),
            "type": self.type,
            "state": self.state.value,
            "attempt": self.attempt,
            "code": self.code,
            "percent": self.percent,
            "step": self.step,
            "message": self.message,
            "counts": dict(self.counts),
        }


def event_of(stored: Mapping[str, str], feed_id: str | None = None) -> JobEvent:
    """The event in a stream's entry."""
    return JobEvent(
        job_id=stored["id"],
        tenant=stored["tenant"],
        kind=stored["kind"],
        seq=int(stored["seq"]),
        at_ms=int(stored["at_ms"]),
        type="state" if stored["type"] == "state" else "progress",
        state=JobState(stored["state"]),
        attempt=int(stored["attempt"]),
        code=stored.get("code"),
        percent=float(stored["percent"]) if "percent" in stored else None,
        step=stored.get("step"),
        message=stored.get("message"),
        counts=json.loads(stored.get("counts", "{}")),
        feed_id=feed_id,
    )
