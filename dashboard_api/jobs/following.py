"""Follow one job: every event in order, none twice and none left out, until the ending."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from background_jobs.store import ENDED, AsyncJobStore, Job, JobEvent, JobStoreUnavailableError
from dashboard_api.jobs.feed import Feed, Told, Watch, tell

_BATCH = 1_000


async def follow(
    store: AsyncJobStore, watch: Watch, job_id: str, *, after_seq: int, beat_s: float
) -> AsyncGenerator[Told | None, None]:
    """Give the events after one, and end after the job's ending.

    The feed brings events at once; whenever it may have missed something, the job's own stream is read. Redis may go and
    come back meanwhile: there are beats while it is away, and then what was missed.

    Args:
        store: where the job is.
        watch: of the job, entered already.
        job_id: which job.
        after_seq: the last event that the caller has; 0 for none.
        beat_s: give None after so many seconds without an event.
    """
    seen = after_seq
    must_look = True
    while True:
        if must_look:
            must_look = False
            with contextlib.suppress(JobStoreUnavailableError):
                async for event in _known(store, job_id, seen):
                    if event.seq > seen:
                        seen = event.seq
                        yield tell(event)
                    if is_ending(event):
                        return
        news = await watch.next(beat_s)
        if news == []:
            yield None
        in_order = _in_order(news or [], seen)
        must_look = not news or any(told.event.seq > seen + len(in_order) for told in news)
        for told in in_order:
            seen = told.event.seq
            yield told
            if is_ending(told.event):
                return


async def settle(store: AsyncJobStore, feed: Feed, job: Job, *, within_s: float) -> Job:
    """Wait for a job's ending, and give the job as it is then, or as it is when the time is up."""
    now = asyncio.get_running_loop().time
    ends_at = now() + within_s
    with feed.watch_job(job.id) as watch:
        while not job.is_ended and not watch.ended.is_set():
            with contextlib.suppress(JobStoreUnavailableError):
                job = await store.get(job.id) or job
            if job.is_ended or now() >= ends_at:
                break
            # Progress is none of our business; an ending, a reason to look, or the time's end is.
            while news := await watch.next(max(0.0, ends_at - now())):
                if any(is_ending(told.event) for told in news):
                    break
    return job


def is_ending(event: JobEvent) -> bool:
    """Whether nothing comes after an event."""
    return event.type == "state" and event.state in ENDED


def _in_order(news: list[Told], seen: int) -> list[Told]:
    # Without what is known already, up to the first that is missing.
    fresh = (told for told in news if told.event.seq > seen)
    return [told for seq, told in enumerate(fresh, seen + 1) if told.event.seq == seq]


async def _known(store: AsyncJobStore, job_id: str, after_seq: int) -> AsyncIterator[JobEvent]:
    # The job before its events: where it has ended, its ending is among them, if they are kept.
    job = await store.get(job_id)
    has_ended = False
    while events := await store.events(job_id, after_seq=after_seq, limit=_BATCH):
        for event in events:
            has_ended = has_ended or is_ending(event)
            yield event
        after_seq = events[-1].seq
    if job is not None and job.is_ended and not has_ended:
        yield _ending_of(job)


def _ending_of(job: Job) -> JobEvent:
    # Of a job whose events are not kept any more.
    return JobEvent(
        job_id=job.id,
        tenant=job.tenant,
        kind=job.kind,
        seq=job.seq,
        at_ms=job.ended_ms or 0,
        type="state",
        state=job.state,
        code=job.code,
        percent=job.percent,
        step=job.step,
        message=job.message,
        counts=job.counts,
        attempt=job.attempt,
    )
