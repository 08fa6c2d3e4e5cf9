"""The text of the streams: events, beats that keep proxies from closing an idle one, and an end when the credential ends."""

import contextlib
import time
from collections.abc import AsyncGenerator

from starlette.requests import Request

from background_jobs.store import Job
from dashboard_api.auth import Identity
from dashboard_api.credentials import credentials_of
from dashboard_api.jobs.feed import Watch
from dashboard_api.jobs.following import follow
from dashboard_api.services import services_of
from dbconnect import SalespulseError

_BEAT = b": still here\n\n"
_RESYNC = b"event: resync\ndata: {}\n\n"


async def job_texts(
    request: Request, identity: Identity, watch: Watch, job: Job, after_seq: int
) -> AsyncGenerator[bytes, None]:
    """Give one job's events after one, each with its id, until the ending."""
    face = services_of(request).jobs
    events = follow(face.store, watch, job.id, after_seq=after_seq, beat_s=face.beat_s)
    async with contextlib.aclosing(events):
        async for told in events:
            if not await _may_go_on(request, identity):
                return
            yield _BEAT if told is None else b"id: %d\n%b" % (told.event.seq, told.text)


async def tenant_texts(request: Request, identity: Identity, watch: Watch) -> AsyncGenerator[bytes, None]:
    """Give the events of all of a tenant's jobs from now on."""
    beat_s = services_of(request).jobs.beat_s
    while True:
        news = await watch.next(beat_s)
        if not await _may_go_on(request, identity):
            return
        if news is None:
            yield _RESYNC
        else:
            yield b"".join(told.text for told in news) or _BEAT


async def _may_go_on(request: Request, identity: Identity) -> bool:
    """Whether the credential still holds: a token until it expires, a key as long as it is not revoked."""
    if time.time() < identity.expires_at:
        return True
    authenticator, given = services_of(request).authenticator, credentials_of(request.scope)
    try:
        again = await authenticator.identify(await authenticator.identify_at_once(*given), lambda: given)
    except SalespulseError:
        return False
    return (again.tenant_id, again.subject) == (identity.tenant_id, identity.subject)
