"""What each operation that changes something sends to Redis and how its reply is read; no input or output."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from background_jobs.store.checks import (
    checked_id,
    checked_metric,
    checked_seconds,
    checked_text,
    checked_whole,
    json_of,
    shortened,
)
from background_jobs.store.errors import IdempotencyConflictError, JobUsageError, QueueFullError
from background_jobs.store.job import (
    Caps,
    Claim,
    Job,
    JobChange,
    ReportReply,
    SubmitResult,
    job_of,
    jobs_of,
    some_job_of,
)
from background_jobs.store.options import JobStoreOptions
from background_jobs.store.scripts import LIMIT_MAX, Argument, Command
from background_jobs.store.states import FailureCode
from background_jobs.store.submission import Deadlines, Submission, run_id_of

_MESSAGE_MAX = 4_000
_STEP_MAX = 200
_COUNTS_MAX = 16_384


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _time(value: int | None) -> Argument:
    return "" if value is None else int(value)


def _change(reply: Any) -> JobChange:
    return JobChange(job_of(reply[1]), reply[0] == 1)


def _attempt(job_id: str, attempt: int) -> tuple[str, int, str]:
    checked_whole("attempt", attempt, 1, 1_000_000)
    return checked_id(job_id), attempt, run_id_of(job_id, attempt)


def submit(submission: Submission, options: JobStoreOptions, now_ms: int | None) -> Command[SubmitResult]:
    """See `JobStore.submit`."""
    key, joins, spans = submission.idempotency_key, submission.coalesce_key, submission.deadlines
    arguments: list[Argument] = [submission.id, submission.kind, submission.tenant, key or "", int(key is not None)]
    arguments += [submission.fingerprint, joins or "", int(joins is not None), submission.priority]
    arguments += [_ms(submission.delay_s), "subject", submission.subject]
    arguments += ["params", json_of("params", submission.params, options.bytes_max)]
    arguments += ["max_attempts", submission.max_attempts, "retry_span", _ms(submission.retry_delay_s)]
    arguments += _spans(spans)

    def read(reply: Any) -> SubmitResult:
        outcome, about = reply
        if outcome == b"created":
            return SubmitResult(some_job_of(about), "created")
        if outcome == b"replayed":
            return SubmitResult(some_job_of(about), "replayed")
        if outcome == b"joined":
            return SubmitResult(some_job_of(about), "joined")
        if outcome == b"conflict":
            raise IdempotencyConflictError(about.decode())
        if outcome == b"taken":
            raise JobUsageError(f"job {submission.id} is of another kind or tenant: make ids with new_job_id()")
        if about == b"all":
            raise QueueFullError("all", options.queued, options.full_retry_s)
        raise QueueFullError("tenant", options.queued_per_tenant, options.full_retry_s)

    return Command("submit", arguments, read, now_ms)


def _spans(deadlines: Deadlines) -> list[Argument]:
    return [
        *("queue_span", _ms(deadlines.queue_s), "start_span", _ms(deadlines.start_s)),
        *("lease_span", _ms(deadlines.lease_s), "run_span", _ms(deadlines.run_s)),
        *("cancel_span", _ms(deadlines.cancel_s)),
    ]  # fmt: skip


def claim(limit: int, caps: Caps, ttl_s: float, now_ms: int | None) -> Command[list[Claim]]:
    """See `JobStore.claim`."""
    checked_whole("limit", limit, 1, LIMIT_MAX)
    arguments: list[Argument] = [limit, _ms(checked_seconds("ttl_s", ttl_s, 0.001)), caps.per_tenant]
    for kind, cap in caps.per_kind.items():
        arguments += [kind, cap]

    def read(reply: Any) -> list[Claim]:
        return [Claim(job, job.attempt, run_id_of(job.id, job.attempt)) for job in jobs_of(reply)]

    return Command("claim", arguments, read, now_ms)


def release(job_id: str, attempt: int, waiting_for: str, delay_s: float, now_ms: int | None) -> Command[JobChange]:
    """See `JobStore.release`."""
    who = _attempt(job_id, attempt)[:2]
    delay = _ms(checked_seconds("delay_s", delay_s))
    return Command("release", [*who, shortened(waiting_for, _MESSAGE_MAX), delay], _change, now_ms)


def dispatched(job_id: str, attempt: int, now_ms: int | None) -> Command[JobChange]:
    """See `JobStore.dispatched`."""
    return Command("dispatched", _attempt(job_id, attempt), _change, now_ms)


def started(job_id: str, attempt: int, event_ms: int | None, now_ms: int | None) -> Command[JobChange]:
    """See `JobStore.started`."""
    return Command("started", [*_attempt(job_id, attempt), _time(event_ms)], _change, now_ms)


def report(
    job_id: str,
    attempt: int,
    options: JobStoreOptions,
    *,
    percent: float | None,
    step: str | None,
    message: str | None,
    counts: Mapping[str, float] | None,
    result: Mapping[str, Any] | None,
    now_ms: int | None,
) -> Command[ReportReply]:
    """See `JobStore.report`."""
    arguments: list[Argument] = [*_attempt(job_id, attempt)]
    if percent is not None:
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise JobUsageError(f"percent is a number from 0 to 100, not {percent!r}")
        arguments += ["percent", f"{percent:.6g}"]
    if step is not None:
        arguments += ["step", shortened(step, _STEP_MAX)]
    if message is not None:
        arguments += ["message", shortened(message, _MESSAGE_MAX)]
    if counts is not None:
        for name, value in counts.items():
            if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
                raise JobUsageError(f"counts are numbers by name, not {name!r}: {value!r}")
        arguments += ["counts", json_of("counts", counts, _COUNTS_MAX)]
    if result is not None:
        arguments += ["result", json_of("result", result, options.bytes_max)]
    return Command("report", arguments, lambda reply: ReportReply(reply[0] == 1, reply[1] == 1), now_ms)


def succeed(
    job_id: str,
    attempt: int,
    options: JobStoreOptions,
    result: Mapping[str, Any] | None,
    event_ms: int | None,
    now_ms: int | None,
) -> Command[JobChange]:
    """See `JobStore.succeed`."""
    encoded_result: Argument = "" if result is None else json_of("result", result, options.bytes_max)
    return Command("succeed", [*_attempt(job_id, attempt), _time(event_ms), encoded_result], _change, now_ms)


def fail(
    job_id: str,
    attempt: int,
    code: str,
    message: str,
    *,
    may_retry: bool,
    event_ms: int | None,
    now_ms: int | None,
) -> Command[JobChange]:
    """See `JobStore.fail`."""
    try:
        failure_code = FailureCode(code)
    except ValueError:
        raise JobUsageError(f"a failure's code is one of {', '.join(FailureCode)}, not {str(code)[:60]!r}") from None
    arguments = [
        *_attempt(job_id, attempt),
        _time(event_ms),
        failure_code,
        shortened(message, _MESSAGE_MAX),
        int(may_retry),
    ]
    return Command("fail", arguments, _change, now_ms)


def end_canceled(job_id: str, attempt: int, event_ms: int | None, now_ms: int | None) -> Command[JobChange]:
    """See `JobStore.end_canceled`."""
    return Command("end_canceled", [*_attempt(job_id, attempt)[:2], _time(event_ms)], _change, now_ms)


def adopt(job_id: str, attempt: int, run_id: str, now_ms: int | None) -> Command[JobChange]:
    """See `JobStore.adopt`."""
    return Command("adopt", [*_attempt(job_id, attempt)[:2], checked_text("run_id", run_id)], _change, now_ms)


def cancel(job_id: str, now_ms: int | None) -> Command[Job | None]:
    """See `JobStore.cancel`."""
    return Command("cancel", [checked_id(job_id)], job_of, now_ms)


def sweep(limit: int, options: JobStoreOptions, now_ms: int | None) -> Command[list[Job]]:
    """See `JobStore.sweep`."""
    return Command("sweep", [checked_whole("limit", limit, 1, LIMIT_MAX), _ms(options.sweep_gap_s)], jobs_of, now_ms)


def restore(job: Job, options: JobStoreOptions, now_ms: int | None) -> Command[bool]:
    """See `JobStore.restore`."""
    if job.is_ended and job.ended_ms is None:
        raise JobUsageError(f"job {job.id} is {job.state} but has no ended_ms: a restored job is a whole one")
    fields: dict[str, Any] = {
        **{name: getattr(job, name) for name in _RESTORED},
        "state": job.state.value,
        "params": json_of("params", job.params, options.bytes_max),
        "counts": json_of("counts", job.counts, _COUNTS_MAX) if job.counts else None,
        "result": None if job.result is None else json_of("result", job.result, options.bytes_max),
        "percent": None if job.percent is None else f"{job.percent:.6g}",
        "retry_span": _ms(job.retry_delay_s),
    }
    if job.late_outcome is not None:
        late = job.late_outcome
        fields["late_outcome"] = f"{late['attempt']}|{late['state']}|{late['code'] or ''}|{late['at_ms']}"
    arguments: list[Argument] = [checked_id(job.id)]
    for name, value in fields.items():
        if value is not None:
            arguments += [name, value]
    return Command("restore", [*arguments, *_spans(job.deadlines)], lambda reply: reply == 1, now_ms)


_RESTORED = (
    *("kind", "tenant", "subject", "code", "message", "step", "run_id", "coalesce_key"),
    *("attempt", "max_attempts", "seq", "priority", "joined", "created_ms", "available_ms"),
    *("dispatched_ms", "started_ms", "ended_ms", "heartbeat_ms"),
)


def begin_epoch() -> Command[str]:
    """See `JobStore.begin_epoch`."""
    return Command("epoch", [str(uuid.uuid4())], bytes.decode)


def set_waiting(reason: str | None) -> Command[None]:
    """See `JobStore.set_waiting`."""
    return Command("note", ["waiting", shortened(reason or "", _MESSAGE_MAX)], _nothing)


def prune(now_ms: int | None) -> Command[int]:
    """See `JobStore.prune`."""
    return Command("prune", [], int, now_ms)


def set_gauge(name: str, value: float, now_ms: int | None) -> Command[None]:
    """See `JobStore.set_gauge`."""
    return Command("gauge", [checked_metric(name), repr(float(value))], _nothing, now_ms)


def count(name: str, labels: Mapping[str, str], by: int) -> Command[None]:
    """See `JobStore.count`."""
    named = [checked_metric(name), *([checked_metric(label), labels[label]] for label in sorted(labels))]
    return Command("count", [json.dumps(named), checked_whole("by", by, 0, 1 << 40)], _nothing)


def _nothing(reply: Any) -> None:
    del reply
