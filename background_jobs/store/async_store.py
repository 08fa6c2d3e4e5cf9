"""The job store for asyncio: the same operations as `JobStore`, awaited."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import redis.asyncio
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as NoAnswerError

from background_jobs.store import commands, queries
from background_jobs.store.clients import private_async_client, unavailable
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


class AsyncJobStore:
    """As `JobStore`, method by method: what is said there holds here. Belongs to the event loop that first uses it.

    Args:
        client: any asyncio redis-py client (one server, Sentinel, cluster); its address is used, not its connections.
        options: prefix, timeouts, retention, bounds.
    """

    def __init__(
        self, client: redis.asyncio.Redis | redis.asyncio.RedisCluster, options: JobStoreOptions = _DEFAULTS
    ) -> None:
        self.options = options
        self._scripts = load_scripts(options)
        self._client = private_async_client(client, options)
        # One connection is left to the feed, which holds it while it waits for news.
        self._turns = asyncio.Semaphore(max(1, options.connections - 1))
        self._outages = 0

    async def _run(self, command: Command[T]) -> T:
        outages = self._outages
        async with self._turns:
            if outages != self._outages:
                raise unavailable(RedisError("it did not answer the calls before this one"))
            return await self._call(command)

    async def _call(self, command: Command[T]) -> T:
        script = self._scripts[command.operation]
        now = b"" if command.now_ms is None else command.now_ms
        tail = (1, self.options.prefix, now, *command.arguments)
        try:
            try:
                reply = await self._client.execute_command("EVALSHA", script.sha, *tail)
            except NoScriptError:
                reply = await self._client.execute_command("EVAL", script.text, *tail)
        except (RedisError, OSError) as error:
            if isinstance(error, NoConnectionError | NoAnswerError | OSError):
                # Who waited for a turn meanwhile has waited for as long: another wait of the same length helps nobody.
                self._outages += 1
            raise unavailable(error) from error
        return command.read(reply)

    async def submit(self, submission: Submission, *, now_ms: int | None = None) -> SubmitResult:
        """See `JobStore`."""
        return await self._run(commands.submit(submission, self.options, now_ms))

    async def get(self, job_id: str) -> Job | None:
        """See `JobStore`."""
        return (await self._run(queries.get_many([job_id])))[0]

    async def get_many(self, job_ids: Iterable[str]) -> builtins.list[Job | None]:
        """See `JobStore`."""
        return await self._run(queries.get_many(job_ids))

    async def list(
        self,
        tenant: str | None = None,
        *,
        kind: str | None = None,
        states: Iterable[JobState] = (),
        limit: int = 50,
        before: str | None = None,
    ) -> JobPage:
        """See `JobStore`."""
        return await self._run(queries.list_jobs(tenant, kind, states, limit, before))

    async def events(self, job_id: str, *, after_seq: int = 0, limit: int = 1000) -> builtins.list[JobEvent]:
        """See `JobStore`."""
        return await self._run(queries.events(job_id, after_seq, limit))

    async def feed(self, after: str = "$", *, block_ms: int = 0, limit: int = 1000) -> builtins.list[JobEvent]:
        """See `JobStore`."""
        try:
            return queries.feed_events(
                await self._client.execute_command(*queries.feed(after, block_ms, limit, self.options))
            )
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    async def feed_bounds(self) -> tuple[str, str]:
        """See `JobStore`."""
        return await self._run(queries.feed_bounds())

    async def claim(
        self, *, limit: int, caps: Caps = _NO_CAPS, ttl_s: float = 15, now_ms: int | None = None
    ) -> builtins.list[Claim]:
        """See `JobStore`."""
        return await self._run(commands.claim(limit, caps, ttl_s, now_ms))

    async def release(
        self, job_id: str, attempt: int, *, waiting_for: str, delay_s: float, now_ms: int | None = None
    ) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.release(job_id, attempt, waiting_for, delay_s, now_ms))

    async def dispatched(self, job_id: str, attempt: int, *, now_ms: int | None = None) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.dispatched(job_id, attempt, now_ms))

    async def started(
        self, job_id: str, attempt: int, *, event_ms: int | None = None, now_ms: int | None = None
    ) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.started(job_id, attempt, event_ms, now_ms))

    async def report(
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
        """See `JobStore`."""
        return await self._run(
            commands.report(
                job_id, attempt, self.options,
                percent=percent, step=step, message=message, counts=counts, result=result, now_ms=now_ms,
            )
        )  # fmt: skip

    async def succeed(
        self,
        job_id: str,
        attempt: int,
        *,
        result: Mapping[str, Any] | None = None,
        event_ms: int | None = None,
        now_ms: int | None = None,
    ) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.succeed(job_id, attempt, self.options, result, event_ms, now_ms))

    async def fail(
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
        """See `JobStore`."""
        return await self._run(
            commands.fail(job_id, attempt, code, message, may_retry=may_retry, event_ms=event_ms, now_ms=now_ms)
        )

    async def end_canceled(
        self, job_id: str, attempt: int, *, event_ms: int | None = None, now_ms: int | None = None
    ) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.end_canceled(job_id, attempt, event_ms, now_ms))

    async def adopt(self, job_id: str, attempt: int, run_id: str, *, now_ms: int | None = None) -> JobChange:
        """See `JobStore`."""
        return await self._run(commands.adopt(job_id, attempt, run_id, now_ms))

    async def cancel(self, job_id: str, *, now_ms: int | None = None) -> Job | None:
        """See `JobStore`."""
        return await self._run(commands.cancel(job_id, now_ms))

    async def sweep(self, *, limit: int = 100, now_ms: int | None = None) -> builtins.list[Job]:
        """See `JobStore`."""
        return await self._run(commands.sweep(limit, self.options, now_ms))

    async def restore(self, job: Job, *, now_ms: int | None = None) -> bool:
        """See `JobStore`."""
        return await self._run(commands.restore(job, self.options, now_ms))

    async def epoch(self) -> str | None:
        """See `JobStore`."""
        return await self._run(queries.epoch())

    async def begin_epoch(self) -> str:
        """See `JobStore`."""
        return await self._run(commands.begin_epoch())

    async def set_waiting(self, reason: str | None) -> None:
        """See `JobStore`."""
        await self._run(commands.set_waiting(reason))

    async def waiting(self) -> str | None:
        """See `JobStore`."""
        return await self._run(queries.waiting())

    async def prune(self, now_ms: int | None = None) -> int:
        """See `JobStore`."""
        return await self._run(commands.prune(now_ms))

    async def set_gauge(self, name: str, value: float, *, now_ms: int | None = None) -> None:
        """See `JobStore`."""
        await self._run(commands.set_gauge(name, value, now_ms))

    async def count(self, name: str, labels: Mapping[str, str], by: int = 1) -> None:
        """See `JobStore`."""
        await self._run(commands.count(name, labels, by))

    async def stats(self, *, now_ms: int | None = None) -> JobStats:
        """See `JobStore`."""
        return await self._run(queries.stats(now_ms))

    async def check_server(self) -> builtins.list[str]:
        """See `JobStore`."""
        try:
            where = {"target_nodes": self._client.get_node_from_key(self.options.prefix)} if self._is_cluster else {}
            memory = await self._client.execute_command("INFO", "memory", **where)
            return queries.warnings(memory, await self._client.execute_command("INFO", "persistence", **where))
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    @property
    def _is_cluster(self) -> bool:
        return isinstance(self._client, redis.RedisCluster)

    async def aclose(self) -> None:
        """See `JobStore`."""
        await self._client.aclose()
