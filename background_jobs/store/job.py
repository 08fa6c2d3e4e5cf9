"""A job as the store keeps it, and the answers that hold one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from background_jobs.store.checks import checked_whole
from background_jobs.store.states import ENDED, JobState
from background_jobs.store.submission import Deadlines

_MS_SUFFIX = "_ms"
_CAP_MAX = 1_000_000


def rfc3339(ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, with three decimals: `2026-11-23T10:00:00.000Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms_of(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are Unix milliseconds by Redis's clock; None where the thing has not happened.

    Attributes:
        id: a UUIDv7; kept through all attempts.
        kind, tenant, subject, params, priority, max_attempts, retry_delay_s, deadlines, coalesce_key: as submitted (a
            trigger that joined may have raised the priority).
        state: where it is.
        code: why it failed; while it is retrying, why its last attempt did.
        message: the last message of its run, or what went wrong.
        attempt: the number of the run that is current or will be next, from 1; `retrying` counts the next one already.
        seq: the number of its last event.
        percent: 0 to 100, as its run reported.
        step: what its run is doing.
        counts: numbers that its run reported.
        created_ms: when it was submitted.
        available_ms: before this it is not claimed.
        claimed_until_ms: until when a dispatcher holds it.
        dispatched_ms, started_ms, ended_ms, heartbeat_ms: when that happened (last; of the current attempt).
        deadline_ms: when its live state's time is over; None when it has ended.
        run_id: the Dagster run of the current attempt, of the last one while it is retrying; None before it is dispatched.
        result: what its run left, as JSON.
        waiting_for: why it is not dispatched yet; None where nothing is in the way.
        late_outcome: a contradiction that came after the attempt had ended, as {attempt, state, code, at_ms}.
        joined: how many triggers joined it.
    """

    id: str
    kind: str
    tenant: str
    subject: str
    params: Mapping[str, Any]
    state: JobState
    attempt: int
    max_attempts: int
    seq: int
    priority: int
    created_ms: int
    available_ms: int
    code: str | None = None
    message: str | None = None
    percent: float | None = None
    step: str | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    claimed_until_ms: int | None = None
    dispatched_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    heartbeat_ms: int | None = None
    deadline_ms: int | None = None
    run_id: str | None = None
    result: Mapping[str, Any] | None = None
    waiting_for: str | None = None
    late_outcome: Mapping[str, Any] | None = None
    joined: int = 0
    retry_delay_s: float = 5
    deadlines: Deadlines = field(default_factory=Deadlines)
    coalesce_key: str | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it is over: its state will not change any more."""
        return self.state in ENDED

    def as_document(self) -> dict[str, Any]:
        """The job for JSON: the attributes, with each `…_ms` as `…_at` in RFC 3339, and whether it `is_ended`."""
        document: dict[str, Any] = {name: getattr(self, name) for name in _AS_THEY_ARE}
        for name, shown_name in _SHOWN_TIMES:
            value = getattr(self, name)
            document[shown_name] = None if value is None else rfc3339(value)
        document["params"], document["counts"] = dict(self.params), dict(self.counts)
        document["state"] = self.state.value
        document["deadlines"] = {f"{name}_s": getattr(self.deadlines, f"{name}_s") for name in _SPANS}
        if self.late_outcome is not None:
            late = dict(self.late_outcome)
            document["late_outcome"] = {**late, "at": rfc3339(late.pop("at_ms"))}
            del document["late_outcome"]["at_ms"]
        document["is_ended"] = self.is_ended
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Job:
        """The job of which this is the document, whole to the millisecond; what it does not know is passed over.

        Raises:
            KeyError, TypeError, ValueError: it is not such a document.
        """
        values: dict[str, Any] = {}
        for each in fields(cls):
            if not each.name.endswith(_MS_SUFFIX):
                if each.name in document:
                    values[each.name] = document[each.name]
            elif (stamp := document.get(each.name.removesuffix(_MS_SUFFIX) + "_at")) is not None:
                values[each.name] = _ms_of(stamp)
        values["state"] = JobState(values["state"])
        values["deadlines"] = Deadlines(**values.get("deadlines", {}))
        if (late := values.get("late_outcome")) is not None:
            values["late_outcome"] = {**{k: v for k, v in late.items() if k != "at"}, "at_ms": _ms_of(late["at"])}
        return cls(**values)


_TEXTS = ("id", "kind", "tenant", "subject", "code", "message", "step", "run_id", "waiting_for", "coalesce_key")
_NUMBERS = ("attempt", "max_attempts", "seq", "priority", "joined")
_TIMES = tuple(each.name for each in fields(Job) if each.name.endswith(_MS_SUFFIX))
_SHOWN_TIMES = tuple((name, name.removesuffix(_MS_SUFFIX) + "_at") for name in _TIMES)
_AS_THEY_ARE = tuple(each.name for each in fields(Job) if each.name not in _TIMES)
_SPANS = ("queue", "start", "lease", "run", "cancel")


def pairs(flat: list[bytes]) -> dict[str, str]:
    """A flat list of names and values as Redis answers it, as a dict."""
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def job_of(reply: bytes) -> Job | None:
    """The job in a script's reply; None for an empty one."""
    if not reply:
        return None
    stored: dict[str, str] = json.loads(reply)
    values: dict[str, Any] = {name: stored[name] for name in _TEXTS if name in stored}
    values.update({name: int(stored[name]) for name in (*_NUMBERS, *_TIMES) if name in stored})
    values["params"] = json.loads(stored["params"])
    values["counts"] = json.loads(stored.get("counts", "{}"))
    values["state"] = JobState(stored["state"])
    if "percent" in stored:
        values["percent"] = float(stored["percent"])
    if "result" in stored:
        values["result"] = json.loads(stored["result"])
    if "late_outcome" in stored:
        attempt, state, code, at_ms = stored["late_outcome"].split("|")
        values["late_outcome"] = {"attempt": int(attempt), "state": state, "code": code or None, "at_ms": int(at_ms)}
    values["retry_delay_s"] = int(stored["retry_span"]) / 1000
    values["deadlines"] = Deadlines(**{f"{name}_s": int(stored[f"{name}_span"]) / 1000 for name in _SPANS})
    return Job(**values)


def some_job_of(reply: bytes) -> Job:
    """The job in a script's reply that always has one."""
    job = job_of(reply)
    assert job is not None, "the script answered no job"  # noqa: S101
    return job


def jobs_of(replies: list[bytes]) -> list[Job]:
    """The jobs in a script's reply."""
    return [some_job_of(reply) for reply in replies]


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The result of a submission: the job was created, existed before (`replayed`), or was `joined`."""

    job: Job
    outcome: Literal["created", "replayed", "joined"]


@dataclass(frozen=True, slots=True)
class Caps:
    """How many jobs may be in flight (claimed, dispatched, running or canceling)."""

    per_tenant: int = 5
    per_kind: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no number of jobs.

        Raises:
            JobUsageError: with the cap at fault.
        """
        checked_whole("per_tenant", self.per_tenant, 0, _CAP_MAX)
        for kind, cap in self.per_kind.items():
            checked_whole(f"the cap of {kind}", cap, 0, _CAP_MAX)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job to launch: the run of `attempt` has the id `run_id`, whoever claims it and however often."""

    job: Job
    attempt: int
    run_id: str


@dataclass(frozen=True, slots=True)
class JobChange:
    """The result of a call: whether it changed the job, and the job after it; None if it is unknown.

    Where `fail` left attempts, the job is retrying and has not ended.
    """

    job: Job | None
    applied: bool


@dataclass(frozen=True, slots=True)
class ReportReply:
    """The answer to a run's report: whether its attempt is still current, and whether it should stop."""

    is_current: bool
    is_cancel_requested: bool


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first, and the cursor (`before`) of the next page; None at the end.

    A page may have fewer jobs than asked for although more follow: one call looks at a bounded number of jobs.
    """

    jobs: list[Job]
    next: str | None
