"""What each operation sends to Redis and how its reply is read: no input or output, the same for both stores."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from ratelimit_service.jobs.errors import IdempotencyConflictError, JobUsageError, QueueFullError
from ratelimit_service.jobs.event import JobEvent, event_of
from ratelimit_service.jobs.job import (
    Caps,
    Change,
    Claim,
    Ending,
    Job,
    Page,
    Signal,
    Submitted,
    job_of,
    pairs,
)
from ratelimit_service.jobs.options import JobStoreOptions
from ratelimit_service.jobs.states import LIVE, FailureCode, JobState
from ratelimit_service.jobs.stats import JobStats, stats_of
from ratelimit_service.jobs.submission import (
    Deadlines,
    Submission,
    checked_id,
    checked_seconds,
    checked_text,
    checked_whole,
    run_id_of,
)

T = TypeVar("T")
Argument: TypeAlias = str | bytes | int
_LIMIT_MAX = 1_000
_MESSAGE_MAX = 4_000
_STEP_MAX = 200
_COUNTS_MAX = 16_384
_STALE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """One script call: the operation, its arguments after the time, and how its reply is read."""

    operation: str
    arguments: Sequence[Argument]
    read: Callable[[Any], T]
    now_ms: int | None = None


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _time(value: int | None) -> Argument:
    return "" if value is None else int(value)


def _json(name: str, value: Mapping[str, Any], most: int) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobUsageError(f"{name} is an object of JSON (no NaN, no half characters): {error}") from None
    if not isinstance(value, Mapping):
        raise JobUsageError(f"{name} is an object of JSON, not {type(value).__name__}")
    if len(text) > most:
        raise JobUsageError(
            f"{name} takes {len(text)} bytes as JSON; at most {most} are kept: pass a reference instead"
        )
    return text


def _shortened(text: str, most: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else text[: most - 1] + "…"


def _job(reply: Any) -> Job:
    job = job_of(reply)
    assert job is not None, "the script answered no job"  # noqa: S101
    return job


def _change(reply: Any) -> Change:
    return Change(job_of(reply[1]), reply[0] == 1)


def _ending(reply: Any) -> Ending:
    return Ending(job_of(reply[1]), reply[0] == 1)


def _jobs(reply: Any) -> list[Job]:
    return [_job(flat) for flat in reply]


def _attempt(job_id: str, attempt: int) -> tuple[str, int, str]:
    checked_whole("attempt", attempt, 1, 1_000_000)
    return checked_id(job_id), attempt, run_id_of(job_id, attempt)


def submit(submission: Submission, options: JobStoreOptions, now_ms: int | None) -> Command[Submitted]:
    """See `JobStore.submit`."""
    key, joins, spans = submission.idempotency_key, submission.coalesce_key, submission.deadlines
    arguments: list[Argument] = [submission.id, submission.kind, submission.tenant, key or "", int(key is not None)]
    arguments += [submission.fingerprint, joins or "", int(joins is not None), submission.priority]
    arguments += [_ms(submission.delay_s), "subject", submission.subject]
    arguments += ["params", _json("params", submission.params, options.bytes_max)]
    arguments += ["max_attempts", submission.max_attempts, "retry_span", _ms(submission.retry_delay_s)]
    arguments += _spans(spans)

    def read(reply: Any) -> Submitted:
        outcome, about = reply
        if outcome == b"created":
            return Submitted(_job(about), "created")
        if outcome == b"replayed":
            return Submitted(_job(about), "replayed")
        if outcome == b"joined":
            return Submitted(_job(about), "joined")
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


def get_many(job_ids: Iterable[str]) -> Command[list[Job | None]]:
    """See `JobStore.get_many`."""
    ids = [checked_id(job_id) for job_id in job_ids]
    if len(ids) > _LIMIT_MAX:
        raise JobUsageError(f"at most {_LIMIT_MAX} jobs are read at once, not {len(ids)}")
    return Command("read", ids, lambda reply: [job_of(flat) for flat in reply])


def list_jobs(
    tenant: str | None, kind: str | None, states: Iterable[JobState], limit: int, before: str | None
) -> Command[Page]:
    """See `JobStore.list`."""
    checked_whole("limit", limit, 1, _LIMIT_MAX)
    wanted = sorted({JobState(state) for state in states})
    index = "live" if wanted and LIVE.issuperset(wanted) else "all"
    if tenant is not None:
        index += ":" + checked_text("tenant", tenant)
    from_ms, _, after = (before or "").partition("-")
    if before is not None and not (from_ms.isdecimal() and after):
        raise JobUsageError(f"a cursor is what a page's `next` said, not {before[:60]!r}")

    def read(reply: Any) -> Page:
        at = f"{reply[1].decode()}-{reply[2].decode()}" if len(reply) > 2 else None
        return Page(_jobs(reply[0]), at)

    return Command("list", [index, kind or "", ",".join(wanted), limit, from_ms, after], read)


def events(job_id: str, after_seq: int, limit: int) -> Command[list[JobEvent]]:
    """See `JobStore.events`."""
    arguments: list[Argument] = [checked_id(job_id), checked_whole("after_seq", after_seq, 0, 1 << 53)]
    arguments.append(checked_whole("limit", limit, 1, 10 * _LIMIT_MAX))
    return Command("events", arguments, lambda reply: [event_of(pairs(entry)) for _, entry in reply])


def feed_bounds() -> Command[tuple[str, str]]:
    """See `JobStore.feed_bounds`."""
    return Command("feed_bounds", [], lambda reply: (reply[0].decode(), reply[1].decode()))


def feed(after: str, block_ms: int, limit: int, options: JobStoreOptions) -> list[Argument]:
    """See `JobStore.feed`. The one command that is not a script: a script can't wait."""
    checked_whole("limit", limit, 1, 10 * _LIMIT_MAX)
    checked_whole("block_ms", block_ms, 0, 1 << 31)
    most = max(round(options.timeout_s * 500), 1)
    waits: list[Argument] = ["BLOCK", min(block_ms, most)] if block_ms else []
    return ["XREAD", "COUNT", limit, *waits, "STREAMS", f"{options.prefix}feed", after]


def feed_events(reply: Any) -> list[JobEvent]:
    """What redis-py's XREAD answered, as events."""
    streams = reply.items() if isinstance(reply, Mapping) else reply or ()
    return [
        event_of({name.decode(): value.decode() for name, value in entry.items()}, feed_id.decode())
        for _, entries in streams
        for feed_id, entry in entries
    ]


def claim(most: int, caps: Caps, lease_s: float, now_ms: int | None) -> Command[list[Claim]]:
    """See `JobStore.claim`."""
    checked_whole("most", most, 1, _LIMIT_MAX)
    arguments: list[Argument] = [most, _ms(checked_seconds("lease_s", lease_s, 0.001)), caps.per_tenant]
    for kind, cap in caps.per_kind.items():
        arguments += [kind, cap]

    def read(reply: Any) -> list[Claim]:
        return [Claim(job, job.attempt, run_id_of(job.id, job.attempt)) for job in _jobs(reply)]

    return Command("claim", arguments, read, now_ms)


def release(job_id: str, attempt: int, waiting_for: str, delay_s: float, now_ms: int | None) -> Command[Change]:
    """See `JobStore.release`."""
    who = _attempt(job_id, attempt)[:2]
    delay = _ms(checked_seconds("delay_s", delay_s))
    return Command("release", [*who, _shortened(waiting_for, _MESSAGE_MAX), delay], _change, now_ms)


def dispatched(job_id: str, attempt: int, now_ms: int | None) -> Command[Change]:
    """See `JobStore.dispatched`."""
    return Command("dispatched", _attempt(job_id, attempt), _change, now_ms)


def started(job_id: str, attempt: int, event_ms: int | None, now_ms: int | None) -> Command[Change]:
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
) -> Command[Signal]:
    """See `JobStore.report`."""
    arguments: list[Argument] = [*_attempt(job_id, attempt)]
    if percent is not None:
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise JobUsageError(f"percent is a number from 0 to 100, not {percent!r}")
        arguments += ["percent", f"{percent:.6g}"]
    if step is not None:
        arguments += ["step", _shortened(step, _STEP_MAX)]
    if message is not None:
        arguments += ["message", _shortened(message, _MESSAGE_MAX)]
    if counts is not None:
        for name, value in counts.items():
            if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
                raise JobUsageError(f"counts are numbers by name, not {name!r}: {value!r}")
        arguments += ["counts", _json("counts", counts, _COUNTS_MAX)]
    if result is not None:
        arguments += ["result", _json("result", result, options.bytes_max)]
    return Command("report", arguments, lambda reply: Signal(reply[0] == 1, reply[1] == 1), now_ms)


def succeed(
    job_id: str,
    attempt: int,
    options: JobStoreOptions,
    result: Mapping[str, Any] | None,
    event_ms: int | None,
    now_ms: int | None,
) -> Command[Ending]:
    """See `JobStore.succeed`."""
    kept: Argument = "" if result is None else _json("result", result, options.bytes_max)
    return Command("succeed", [*_attempt(job_id, attempt), _time(event_ms), kept], _ending, now_ms)


def fail(
    job_id: str,
    attempt: int,
    code: str,
    message: str,
    *,
    may_retry: bool,
    event_ms: int | None,
    now_ms: int | None,
) -> Command[Ending]:
    """See `JobStore.fail`."""
    try:
        known = FailureCode(code)
    except ValueError:
        raise JobUsageError(f"a failure's code is one of {', '.join(FailureCode)}, not {str(code)[:60]!r}") from None
    arguments = [*_attempt(job_id, attempt), _time(event_ms), known, _shortened(message, _MESSAGE_MAX), int(may_retry)]
    return Command("fail", arguments, _ending, now_ms)


def end_canceled(job_id: str, attempt: int, event_ms: int | None, now_ms: int | None) -> Command[Ending]:
    """See `JobStore.end_canceled`."""
    return Command("end_canceled", [*_attempt(job_id, attempt)[:2], _time(event_ms)], _ending, now_ms)


def adopt(job_id: str, attempt: int, run_id: str, now_ms: int | None) -> Command[Change]:
    """See `JobStore.adopt`."""
    return Command("adopt", [*_attempt(job_id, attempt)[:2], checked_text("run_id", run_id)], _change, now_ms)


def cancel(job_id: str, now_ms: int | None) -> Command[Job | None]:
    """See `JobStore.cancel`."""
    return Command("cancel", [checked_id(job_id)], job_of, now_ms)


def sweep(most: int, options: JobStoreOptions, now_ms: int | None) -> Command[list[Job]]:
    """See `JobStore.sweep`."""
    return Command("sweep", [checked_whole("most", most, 1, _LIMIT_MAX), _ms(options.sweep_gap_s)], _jobs, now_ms)


def restore(job: Job, options: JobStoreOptions, now_ms: int | None) -> Command[bool]:
    """See `JobStore.restore`."""
    if job.is_ended and job.ended_ms is None:
        raise JobUsageError(f"job {job.id} is {job.state} but has no ended_ms: a restored job is a whole one")
    fields: dict[str, Any] = {
        **{name: getattr(job, name) for name in _RESTORED},
        "state": job.state.value,
        "params": _json("params", job.params, options.bytes_max),
        "counts": _json("counts", job.counts, _COUNTS_MAX) if job.counts else None,
        "result": None if job.result is None else _json("result", job.result, options.bytes_max),
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


def epoch() -> Command[str | None]:
    """See `JobStore.epoch`."""
    return Command("note", ["epoch"], _text)


def waiting() -> Command[str | None]:
    """See `JobStore.waiting`."""
    return Command("note", ["waiting"], _text)


def set_waiting(reason: str | None) -> Command[None]:
    """See `JobStore.set_waiting`."""
    return Command("note", ["waiting", _shortened(reason or "", _MESSAGE_MAX)], _nothing)


def prune(now_ms: int | None) -> Command[int]:
    """See `JobStore.prune`."""
    return Command("prune", [], int, now_ms)


def set_gauge(name: str, value: float, now_ms: int | None) -> Command[None]:
    """See `JobStore.set_gauge`."""
    return Command("gauge", [checked_text("name", name), repr(float(value))], _nothing, now_ms)


def stats(now_ms: int | None) -> Command[JobStats]:
    """See `JobStore.stats`."""
    return Command("stats", [_STALE_MS], stats_of, now_ms)


def warnings(memory: Mapping[str, Any], persistence: Mapping[str, Any]) -> list[str]:
    """What in a server's INFO would lose jobs."""
    found = []
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"Redis may evict jobs: its maxmemory-policy is {policy}. Set `maxmemory-policy noeviction` for the jobs' server."
        )
    if not persistence.get("aof_enabled"):
        found.append(
            "Redis may lose the last seconds of jobs when it restarts: appendonly is off. Set `appendonly yes`; jobs that "
            "are lost all the same are rebuilt from the archive and from Dagster's runs."
        )
    return found


def _text(reply: Any) -> str | None:
    return None if reply is None else reply.decode()


def _nothing(reply: Any) -> None:
    del reply
