"""The job store for threads."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import redis
from redis.exceptions import NoScriptError, RedisError

from background_jobs.store import commands, queries
from background_jobs.store.clients import private_client, unavailable
from background_jobs.store.event import JobEvent
from background_jobs.store.job import Caps, Claim, Job, JobChange, JobPage, ReportReply, SubmitResult
from background_jobs.store.options import JobStoreOptions
from background_jobs.store.scripts import Command, load_scripts
from background_jobs.store.states import JobState
from background_jobs.store.stats import JobStats
from background_jobs.store.submission import Submission

T = TypeVar("T")
_DEFAULTS = JobStoreOptions()
_NO_CAPS = Caps()


class JobStore:
    """Jobs in Redis: submitted, claimed, watched, ended. Each operation is one script, all of it or nothing.

    Safe to use from many threads. Every method raises JobStoreUnavailableError where Redis gives no answer in time, and
    may then be called again with the same arguments; JobUsageError for values that can't be meant. `now_ms` replaces
    Redis's clock, for tests and replays.

    Args:
        client: any sync redis-py client (one server, Sentinel, cluster); its address is used, not its connections.
        options: prefix, timeouts, retention, bounds.
    """

    def __init__(self, client: redis.Redis | redis.RedisCluster, options: JobStoreOptions = _DEFAULTS) -> None:
        self.options = options
        self._scripts = load_scripts(options)
        try:
            self._client = private_client(client, options)
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    def _run(self, command: Command[T]) -> T:
        script = self._scripts[command.operation]
        now = b"" if command.now_ms is None else command.now_ms
        tail = (1, self.options.prefix, now, *command.arguments)
        try:
            try:
                reply = self._client.execute_command("EVALSHA", script.sha, *tail)
            except NoScriptError:
                reply = self._client.execute_command("EVAL", script.text, *tail)
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        return command.read(reply)

    def submit(self, submission: Submission, *, now_ms: int | None = None) -> SubmitResult:
        """Make a job, or find the one that this submission made before (same id, same idempotency key), or join one.

        Raises:
            IdempotencyConflictError: the idempotency key belongs to another request.
            QueueFullError: too many jobs of this tenant, or of all, are waiting.
            JobUsageError: params are no JSON object or too large.
        """
        return self._run(commands.submit(submission, self.options, now_ms))

    def get(self, job_id: str) -> Job | None:
        """The job; None if there is none (any more)."""
        return self._run(queries.get_many([job_id]))[0]

    def get_many(self, job_ids: Iterable[str]) -> builtins.list[Job | None]:
        """Up to 1,000 jobs, in the order of the ids."""
        return self._run(queries.get_many(job_ids))

    def list(
        self,
        tenant: str | None = None,
        *,
        kind: str | None = None,
        states: Iterable[JobState] = (),
        limit: int = 50,
        before: str | None = None,
    ) -> JobPage:
        """Jobs, newest first.

        Args:
            tenant: only this tenant's; None for all.
            kind: only these.
            states: only these; none means all.
            limit: the most on a page, up to 1,000.
            before: the last page's `next`.
        """
        return self._run(queries.list_jobs(tenant, kind, states, limit, before))

    def events(self, job_id: str, *, after_seq: int = 0, limit: int = 1000) -> builtins.list[JobEvent]:
        """A job's events after a sequence number, oldest first; none once its stream has expired."""
        return self._run(queries.events(job_id, after_seq, limit))

    def feed(self, after: str = "$", *, block_ms: int = 0, limit: int = 1000) -> builtins.list[JobEvent]:
        """Events of all jobs after one of the feed, oldest first.

        Args:
            after: a `feed_id`; "$" for what comes from now on (then take `feed_bounds()[1]` first, and pass that on where
                this returns nothing: between two calls with "$" events go unseen).
            block_ms: how long to wait for the first; 0 does not wait. Half of `timeout_s` is the most.
            limit: the most returned.
        """
        try:
            return queries.feed_events(
                self._client.execute_command(*queries.feed(after, block_ms, limit, self.options))
            )
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    def feed_bounds(self) -> tuple[str, str]:
        """The ids of the oldest and the newest event in the feed, "0-0" where there is none.

        A reader whose place is before the oldest may have missed events, and must look at the jobs themselves.
        """
        return self._run(queries.feed_bounds())

    def claim(
        self, *, limit: int, caps: Caps = _NO_CAPS, ttl_s: float = 15, now_ms: int | None = None
    ) -> builtins.list[Claim]:
        """Take jobs to launch: queued ones, and retrying ones whose delay is over; by turns among the tenants.

        A claim lapses after `ttl_s`; the same attempt is then claimed again, with the same run id.
        """
        return self._run(commands.claim(limit, caps, ttl_s, now_ms))

    def release(
        self, job_id: str, attempt: int, *, waiting_for: str, delay_s: float, now_ms: int | None = None
    ) -> JobChange:
        """Give a claimed job back that was not launched, and say why; it keeps its place and may be claimed after `delay_s`."""
        return self._run(commands.release(job_id, attempt, waiting_for, delay_s, now_ms))

    def dispatched(self, job_id: str, attempt: int, *, now_ms: int | None = None) -> JobChange:
        """Dagster has the run. Not applied on a job that was canceled meanwhile: its run is to be stopped."""
        return self._run(commands.dispatched(job_id, attempt, now_ms))

    def started(
        self, job_id: str, attempt: int, *, event_ms: int | None = None, now_ms: int | None = None
    ) -> JobChange:
        """The run has started; also before `dispatched` was said. `event_ms` is the time of Dagster's event."""
        return self._run(commands.started(job_id, attempt, event_ms, now_ms))

    def report(
        self,
        job_id: str,
        attempt: int,
        *,
        percent: float | None = None,
        step: str | None = None,
        message: str | None = None,
        counts: Mapping[str, float] | None = None,
        result: Mapping[str, Any] | None = None,
        now_ms: int | None = None,
    ) -> ReportReply:
        """A run's sign of life, with what is new about it; renews its lease. None leaves a value as it is.

        Long texts are shortened (step 200 characters, message 4,000).
        """
        return self._run(
            commands.report(
                job_id, attempt, self.options,
                percent=percent, step=step, message=message, counts=counts, result=result, now_ms=now_ms,
            )
        )  # fmt: skip

    def succeed(
        self,
        job_id: str,
        attempt: int,
        *,
        result: Mapping[str, Any] | None = None,
        event_ms: int | None = None,
        now_ms: int | None = None,
    ) -> JobChange:
        """The run succeeded. Without a result, what the run reported as its result stays."""
        return self._run(commands.succeed(job_id, attempt, self.options, result, event_ms, now_ms))

    def fail(
        self,
        job_id: str,
        attempt: int,
        code: str,
        message: str,
        *,
        may_retry: bool = True,
        event_ms: int | None = None,
        now_ms: int | None = None,
    ) -> JobChange:
        """The attempt failed (`code` as in FailureCode): the job is retrying if attempts are left, else failed."""
        return self._run(
            commands.fail(job_id, attempt, code, message, may_retry=may_retry, event_ms=event_ms, now_ms=now_ms)
        )

    def end_canceled(
        self, job_id: str, attempt: int, *, event_ms: int | None = None, now_ms: int | None = None
    ) -> JobChange:
        """The run was canceled, by the job's cancellation or in Dagster."""
        return self._run(commands.end_canceled(job_id, attempt, event_ms, now_ms))

    def adopt(self, job_id: str, attempt: int, run_id: str, *, now_ms: int | None = None) -> JobChange:
        """Take over a run that Dagster made itself after `attempt` failed: retrying to dispatched, as the next attempt.

        Not applied while a dispatcher holds a claim on that attempt.
        """
        return self._run(commands.adopt(job_id, attempt, run_id, now_ms))

    def cancel(self, job_id: str, *, now_ms: int | None = None) -> Job | None:
        """Ask for a job to stop: a queued one is canceled at once, one with a run is canceling; an ended one stays."""
        return self._run(commands.cancel(job_id, now_ms))

    def sweep(self, *, limit: int = 100, now_ms: int | None = None) -> builtins.list[Job]:
        """Enforce deadlines; the jobs that were failed, retried or canceled by them. Call it about every second."""
        return self._run(commands.sweep(limit, self.options, now_ms))

    def restore(self, job: Job, *, now_ms: int | None = None) -> bool:
        """Put a job back that Redis lost; False if its id is there, or its time is over. Restore the oldest first: that is the new order."""
        return self._run(commands.restore(job, self.options, now_ms))

    def epoch(self) -> str | None:
        """What this Redis's data calls itself; None if it was lost, or never begun."""
        return self._run(queries.epoch())

    def begin_epoch(self) -> str:
        """Begin an epoch if there is none; the one in force."""
        return self._run(commands.begin_epoch())

    def set_waiting(self, reason: str | None) -> None:
        """Say what all waiting jobs wait for; None for nothing."""
        self._run(commands.set_waiting(reason))

    def waiting(self) -> str | None:
        """What all waiting jobs wait for."""
        return self._run(queries.waiting())

    def prune(self, now_ms: int | None = None) -> int:
        """Take up to 1,000 jobs whose documents have expired off the lists; how many it were."""
        return self._run(commands.prune(now_ms))

    def set_gauge(self, name: str, value: float, *, now_ms: int | None = None) -> None:
        """Show a figure in the metrics; it vanishes if it is not set again within `gauge_s`."""
        self._run(commands.set_gauge(name, value, now_ms))

    def count(self, name: str, labels: Mapping[str, str], by: int = 1) -> None:
        """Add to a counter of others, shown in the metrics as `<name>_total`. Repeated after a broken connection, it may count twice."""
        self._run(commands.count(name, labels, by))

    def stats(self, *, now_ms: int | None = None) -> JobStats:
        """The figures to run the jobs by."""
        return self._run(queries.stats(now_ms))

    def check_server(self) -> builtins.list[str]:
        """What in the server's settings would lose jobs, in plain words; nothing if all is well."""
        try:
            where = {"target_nodes": self._client.get_node_from_key(self.options.prefix)} if self._is_cluster else {}
            memory = self._client.execute_command("INFO", "memory", **where)
            return queries.warnings(memory, self._client.execute_command("INFO", "persistence", **where))
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    @property
    def _is_cluster(self) -> bool:
        return isinstance(self._client, redis.RedisCluster)

    def close(self) -> None:
        """Close the store's connections."""
        self._client.close()
