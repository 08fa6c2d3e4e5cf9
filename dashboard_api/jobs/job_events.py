"""The events of jobs for a stream or a waiting request: in order, without gaps or repeats, until the job ends.

`event_stream` sends them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request

from background_jobs.store import ENDED, AsyncJobStore, Job, JobEvent, JobStoreUnavailableError
from dashboard_api.auth import Identity
from dashboard_api.jobs.event_hub import EncodedEvent, EventHub, Subscription, encode
from dashboard_api.middleware.authentication import credential_headers
from dashboard_api.services import get_services
from dbconnect import SalespulseError

_BATCH = 1_000
_HEARTBEAT = b": heartbeat\n\n"
_RESYNC = b"event: resync\ndata: {}\n\n"


async def job_stream_text(
    request: Request, identity: Identity, subscription: Subscription, job: Job, after_seq: int
) -> AsyncGenerator[bytes, None]:
    """Yield a job's events after one as Server-Sent Events, each with its id, until the job or the credential ends."""
    jobs = get_services(request).jobs
    events = stream_events(jobs.store, subscription, job.id, after_seq=after_seq, heartbeat_s=jobs.heartbeat_s)
    async with contextlib.aclosing(events):
        async for encoded in events:
            if not await _is_still_valid(request, identity):
                return
            yield _HEARTBEAT if encoded is None else b"id: %d\n%b" % (encoded.event.seq, encoded.text)


async def tenant_stream_text(
    request: Request, identity: Identity, subscription: Subscription
) -> AsyncGenerator[bytes, None]:
    """Yield the events of all of a tenant's jobs from now on as Server-Sent Events, until the credential ends."""
    heartbeat_s = get_services(request).jobs.heartbeat_s
    while True:
        events = await subscription.next(heartbeat_s)
        if not await _is_still_valid(request, identity):
            return
        if events is None:
            yield _RESYNC
        else:
            yield b"".join(encoded.text for encoded in events) or _HEARTBEAT


async def stream_events(
    store: AsyncJobStore, subscription: Subscription, job_id: str, *, after_seq: int, heartbeat_s: float
) -> AsyncGenerator[EncodedEvent | None, None]:
    """Yield a job's events after one, until it ends.

    The hub delivers events at once; whenever it may have missed some, the job's own event log is read. During an outage of Redis there
    are heartbeats, and afterwards the missed events.

    Args:
        store: where the job is.
        subscription: to the job, entered already.
        job_id: the job's id.
        after_seq: the last event that the client has; 0 for none.
        heartbeat_s: yield None after so many seconds without an event.
    """
    last_seq = after_seq
    must_read_log = True
    while True:
        if must_read_log:
            must_read_log = False
            with contextlib.suppress(JobStoreUnavailableError):
                async for event in _logged_events(store, job_id, last_seq):
                    if event.seq > last_seq:
                        last_seq = event.seq
                        yield encode(event)
                    if _is_final(event):
                        return
        events = await subscription.next(heartbeat_s)
        if events == []:
            yield None
        consecutive = _consecutive(events or [], last_seq)
        must_read_log = not events or any(one.event.seq > last_seq + len(consecutive) for one in events)
        for encoded in consecutive:
            last_seq = encoded.event.seq
            yield encoded
            if _is_final(encoded.event):
                return


async def wait_for_end(store: AsyncJobStore, hub: EventHub, job: Job, *, timeout_s: float) -> Job:
    """Wait until a job has ended; return it as it is then, or as it is at the timeout."""
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_s
    with hub.subscribe_to_job(job.id) as subscription:
        while not job.is_ended and not subscription.ended.is_set():
            with contextlib.suppress(JobStoreUnavailableError):
                job = await store.get(job.id) or job
            if job.is_ended or now() >= deadline:
                break
            # Skip progress; stop at a final event, a resync, or the deadline.
            while events := await subscription.next(max(0.0, deadline - now())):
                if any(_is_final(encoded.event) for encoded in events):
                    break
    return job


def _is_final(event: JobEvent) -> bool:
    return event.type == "state" and event.state in ENDED


def _consecutive(events: list[EncodedEvent], last_seq: int) -> list[EncodedEvent]:
    # Without known events, up to the first gap.
    newer = (encoded for encoded in events if encoded.event.seq > last_seq)
    return [encoded for seq, encoded in enumerate(newer, last_seq + 1) if encoded.event.seq == seq]


async def _logged_events(store: AsyncJobStore, job_id: str, after_seq: int) -> AsyncIterator[JobEvent]:
    # The job before its events: if it has ended, its final event is among them, unless the log has expired.
    job = await store.get(job_id)
    has_final = False
    while events := await store.events(job_id, after_seq=after_seq, limit=_BATCH):
        for event in events:
            has_final = has_final or _is_final(event)
            yield event
        after_seq = events[-1].seq
    if job is not None and job.is_ended and not has_final:
        yield _final_event(job)


def _final_event(job: Job) -> JobEvent:
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


async def _is_still_valid(request: Request, identity: Identity) -> bool:
    """Whether the credential is still valid: a token until it expires, a key until it is revoked."""
    if time.time() < identity.expires_at:
        return True
    authenticator, headers = get_services(request).authenticator, credential_headers(request.scope)
    try:
        renewed = await authenticator.verify(await authenticator.verify_locally(*headers), lambda: headers)
    except SalespulseError:
        return False
    return (renewed.tenant_id, renewed.subject) == (identity.tenant_id, identity.subject)
