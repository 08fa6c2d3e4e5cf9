"""The endpoints under `/api/jobs`: ask for a job, look at jobs, follow one, cancel it, fetch what it gave."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import FileResponse

from background_jobs.kinds import KINDS
from background_jobs.store import Job, JobState
from dashboard_api.answers import matches_tag, render_json
from dashboard_api.auth import Identity
from dashboard_api.jobs import documents, openapi
from dashboard_api.jobs.archive import find_job
from dashboard_api.jobs.asked import EventsAsked, JobFilter, read_last_event_id
from dashboard_api.jobs.documents import etag_of, job_document, kinds_document
from dashboard_api.jobs.errors import JobEndedError, TooManyStreamsError
from dashboard_api.jobs.event_stream import EventStream
from dashboard_api.jobs.following import settle
from dashboard_api.jobs.job_route import JobRoute, find_identity
from dashboard_api.jobs.prefer import wanted_wait_s
from dashboard_api.jobs.results import file_path, file_to_send, result_document
from dashboard_api.jobs.streaming import job_texts, tenant_texts
from dashboard_api.jobs.submitting import check_role, submit_job
from dashboard_api.routes import API_KEY, BEARER
from dashboard_api.services import services_of


async def identity_of(
    request: Request, _bearer: Annotated[object, Depends(BEARER)], _key: Annotated[object, Depends(API_KEY)]
) -> Identity:
    """Who asks: as `caller_of`, for tenants without figures too."""
    return await find_identity(request)


IdentityOf = Annotated[Identity, Depends(identity_of)]
JobId = Annotated[str, Path(description="The job's id.", examples=[documents.EXAMPLE_ID])]

router = APIRouter()
jobs = APIRouter(prefix=documents.PATH, tags=["jobs"], route_class=JobRoute)


@jobs.post(
    "",
    status_code=202,
    response_model=documents.JobModel,
    summary="Ask for a job",
    responses=openapi.SUBMITTED,
    openapi_extra=openapi.SUBMIT,
)
async def submit(request: Request, identity: IdentityOf) -> Response:
    """Answers at once, with the job's id; the work is done elsewhere.

    With an `Idempotency-Key` the request can be repeated safely: the same key and body give the same job. With
    `Prefer: wait=n` the answer waits for the ending, 30 s at most.
    """
    submitted = await submit_job(services_of(request).jobs.store, request, identity)
    job, waited = await _settled(request, identity, submitted.job)
    headers = {"Location": f"{documents.PATH}/{job.id}", "X-Job-Outcome": submitted.outcome, **waited}
    return _answer(request, job, status=200 if job.is_ended else 202, headers=headers)


@jobs.get(
    "", response_model=documents.JobPageModel, summary="The tenant's jobs, the newest first", responses=openapi.LISTED
)
async def list_jobs(request: Request, identity: IdentityOf, asked: Annotated[JobFilter, Query()]) -> Response:
    """A page of them; `next` says where to go on."""
    services = services_of(request)
    page = await services.jobs.store.list(
        identity.tenant_id, kind=asked.kind, states=asked.state, limit=asked.limit, before=asked.before
    )
    found = [job_document(job, services.settings) for job in page.jobs]
    return _json({"jobs": found, "next": page.next})


@jobs.get("/kinds", response_model=documents.KindsModel, summary="What may be asked for", responses=openapi.REFUSALS)
async def list_kinds(request: Request, identity: IdentityOf) -> Response:
    """The kinds that the caller's role may ask for, with a JSON Schema of their parameters."""
    del request
    return _json(kinds_document(kind for kind in KINDS.values() if identity.role in kind.roles))


@jobs.get("/events", response_class=Response, summary="Follow all of the tenant's jobs", responses=openapi.STREAMED)
async def follow_jobs(request: Request, identity: IdentityOf) -> Response:
    """Server-Sent Events as they happen, without ids: whoever was away reads the list again.

    `event: resync` says that something may have been missed while this server was cut off from the store.
    """
    face = services_of(request).jobs
    slot = face.slots.take(identity)
    watch = face.feed.watch_tenant(identity.tenant_id)
    return EventStream(watch, tenant_texts(request, identity, watch), slot.release)


@jobs.get(
    "/{job_id}",
    response_model=documents.JobModel,
    summary="One job as it is now",
    responses=openapi.FOUND,
    openapi_extra=openapi.FOUND_EXTRA,
)
async def get_job(request: Request, identity: IdentityOf, job_id: JobId) -> Response:
    """The `ETag` changes with every event; `Prefer: wait=n` waits for the ending."""
    job, waited = await _settled(request, identity, await find_job(request, identity, job_id))
    return _answer(request, job, headers=waited)


@jobs.get(
    "/{job_id}/events",
    response_class=Response,
    summary="Follow one job",
    responses=openapi.FOLLOWED,
    openapi_extra=openapi.FOLLOWED_EXTRA,
)
async def follow_job(
    request: Request, identity: IdentityOf, job_id: JobId, asked: Annotated[EventsAsked, Query()]
) -> Response:
    """Server-Sent Events, each with its `seq` as id, in order, none twice and none left out; ends after the ending.

    Resume with `Last-Event-ID` or `after`. 204 says that there is nothing more to come.
    """
    last = read_last_event_id(request.headers.get("last-event-id"))
    after_seq = asked.after if last is None else last
    job = await find_job(request, identity, job_id)
    if job.is_ended and after_seq >= job.seq:
        return Response(status_code=204)
    face = services_of(request).jobs
    slot = face.slots.take(identity)
    watch = face.feed.watch_job(job.id)
    return EventStream(watch, job_texts(request, identity, watch, job, after_seq), slot.release)


@jobs.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=documents.JobModel,
    summary="Cancel a job",
    responses=openapi.CANCELED,
)
async def cancel_job(request: Request, identity: IdentityOf, job_id: JobId) -> Response:
    """200 where it is canceled now, 202 where its run has been asked to stop, 409 where it has ended otherwise."""
    job = await find_job(request, identity, job_id)
    check_role(job.kind, identity)
    if not job.is_ended:
        job = await services_of(request).jobs.store.cancel(job.id) or job
    if job.is_ended and job.state is not JobState.CANCELED:
        raise JobEndedError(f"it can't be canceled any more: it is {job.state}")
    return _answer(request, job, status=200 if job.is_ended else 202)


@jobs.get("/{job_id}/result", response_model=documents.ResultModel, summary="What it gave", responses=openapi.RESULT)
async def get_result(request: Request, identity: IdentityOf, job_id: JobId) -> Response:
    """The result; for an export a link to its file, which opens without a credential until it expires."""
    services = services_of(request)
    job = await find_job(request, identity, job_id)
    return _json(result_document(job, services.settings.exports, services.jobs.links, now=datetime.now(UTC)))


@router.get(documents.PATH + "/{job_id}/file", tags=["jobs"], summary="The file of an export", responses=openapi.FILE)
async def get_file(
    request: Request,
    job_id: JobId,
    expires: Annotated[str, Query(description="As the link has it.")] = "",
    signature: Annotated[str, Query(description="As the link has it.")] = "",
) -> Response:
    """Served to whoever has the link, until it expires."""
    services, now = services_of(request), datetime.now(UTC)
    services.jobs.links.check(file_path(job_id), expires, signature, now_s=now.timestamp())
    file = file_to_send(await services.jobs.store.get(job_id), services.settings.exports, now=now)
    return FileResponse(
        file.path, filename=file.name, media_type=file.media_type, headers={"Cache-Control": "private, no-store"}
    )


router.include_router(jobs)


async def _settled(request: Request, identity: Identity, job: Job) -> tuple[Job, dict[str, str]]:
    """Wait as long as the caller would rather wait than ask again."""
    wait_s = wanted_wait_s(request.headers.get("prefer"))
    if wait_s is None:
        return job, {}
    face = services_of(request).jobs
    began = datetime.now(UTC)
    if not job.is_ended:
        try:
            slot = face.slots.take(identity)
        except TooManyStreamsError:
            # A preference is nothing that must be honoured.
            return job, {}
        try:
            job = await settle(face.store, face.feed, job, within_s=wait_s)
        finally:
            slot.release()
            request.state.waited_s = (datetime.now(UTC) - began).total_seconds()
    return job, {"Preference-Applied": f"wait={wait_s}"}


def _answer(request: Request, job: Job, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    etag = etag_of(job)
    given = {"ETag": etag, **(headers or {})}
    if not job.is_ended:
        given["Retry-After"] = "1"
    if request.method == "GET" and matches_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=_PRIVATE | given)
    return _json(job_document(job, services_of(request).settings), status=status, headers=given)


_PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}


def _json(document: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(render_json(document), status, headers=_PRIVATE | (headers or {}), media_type="application/json")
