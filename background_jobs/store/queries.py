"""What each operation that only looks sends to Redis and how its reply is read; no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from background_jobs.store.checks import checked_id, checked_text, checked_whole
from background_jobs.store.errors import JobUsageError
from background_jobs.store.event import JobEvent, event_of
from background_jobs.store.job import Job, JobPage, job_of, jobs_of, pairs
from background_jobs.store.options import JobStoreOptions
from background_jobs.store.scripts import LIMIT_MAX, Argument, Command
from background_jobs.store.states import LIVE, JobState
from background_jobs.store.stats import JobStats, stats_of

_STALE_MS = 5_000


def get_many(job_ids: Iterable[str]) -> Command[list[Job | None]]:
    """See `JobStore.get_many`."""
    ids = [checked_id(job_id) for job_id in job_ids]
    if len(ids) > LIMIT_MAX:
        raise JobUsageError(f"at most {LIMIT_MAX} jobs are read at once, not {len(ids)}")
    return Command("read", ids, lambda reply: [job_of(each) for each in reply])


def list_jobs(
    tenant: str | None, kind: str | None, states: Iterable[JobState], limit: int, before: str | None
) -> Command[JobPage]:
    """See `JobStore.list`."""
    checked_whole("limit", limit, 1, LIMIT_MAX)
    requested_states = sorted({JobState(state) for state in states})
    index = "live" if requested_states and LIVE.issuperset(requested_states) else "all"
    if tenant is not None:
        index += ":" + checked_text("tenant", tenant)
    from_ms, _, after = (before or "").partition("-")
    if before is not None and not (from_ms.isdecimal() and after):
        raise JobUsageError(f"a cursor is what a page's `next` said, not {before[:60]!r}")

    def read(reply: Any) -> JobPage:
        at = f"{reply[1].decode()}-{reply[2].decode()}" if len(reply) > 2 else None
        return JobPage(jobs_of(reply[0]), at)

    return Command("list", [index, kind or "", ",".join(requested_states), limit, from_ms, after], read)


def events(job_id: str, after_seq: int, limit: int) -> Command[list[JobEvent]]:
    """See `JobStore.events`."""
    arguments: list[Argument] = [checked_id(job_id), checked_whole("after_seq", after_seq, 0, 1 << 53)]
    arguments.append(checked_whole("limit", limit, 1, 10 * LIMIT_MAX))
    return Command("events", arguments, lambda reply: [event_of(pairs(entry)) for _, entry in reply])


def feed_bounds() -> Command[tuple[str, str]]:
    """See `JobStore.feed_bounds`."""
    return Command("feed_bounds", [], lambda reply: (reply[0].decode(), reply[1].decode()))


def feed(after: str, block_ms: int, limit: int, options: JobStoreOptions) -> list[Argument]:
    """See `JobStore.feed`. The one command that is not a script: a script can't wait."""
    checked_whole("limit", limit, 1, 10 * LIMIT_MAX)
    checked_whole("block_ms", block_ms, 0, 1 << 31)
    limit_ms = max(round(options.timeout_s * 500), 1)
    waits: list[Argument] = ["BLOCK", min(block_ms, limit_ms)] if block_ms else []
    return ["XREAD", "COUNT", limit, *waits, "STREAMS", f"{options.prefix}feed", after]


def feed_events(reply: Any) -> list[JobEvent]:
    """What redis-py's XREAD answered, as events."""
    streams = reply.items() if isinstance(reply, Mapping) else reply or ()
    return [
        event_of({name.decode(): value.decode() for name, value in entry.items()}, feed_id.decode())
        for _, entries in streams
        for feed_id, entry in entries
    ]


def epoch() -> Command[str | None]:
    """See `JobStore.epoch`."""
    return Command("note", ["epoch"], _text)


def waiting() -> Command[str | None]:
    """See `JobStore.waiting`."""
    return Command("note", ["waiting"], _text)


def stats(now_ms: int | None) -> Command[JobStats]:
    """See `JobStore.stats`."""
    return Command("stats", [_STALE_MS], stats_of, now_ms)


def warnings(memory: Mapping[str, Any], persistence: Mapping[str, Any]) -> list[str]:
    """What in a server's INFO would lose jobs."""
    texts = []
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        texts.append(
            f"Redis may evict jobs: its maxmemory-policy is {policy}. Set `maxmemory-policy noeviction` for the jobs' server."
        )
    if not persistence.get("aof_enabled"):
        texts.append(
            "Redis may lose the last seconds of jobs when it restarts: appendonly is off. Set `appendonly yes`; jobs that "
            "are lost all the same are restored from the archive and from Dagster's runs."
        )
    return texts


def _text(reply: Any) -> str | None:
    return None if reply is None else reply.decode()
