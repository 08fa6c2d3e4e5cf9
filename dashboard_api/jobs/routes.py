"""The endpoints under `/api/jobs`: submit, list, follow, cancel, fetch the result."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import FileResponse

from background_jobs.kinds import KINDS
from background_jobs.store import Job, JobState
from dashboard_api.auth import Identity
from dashboard_api.errors import JobEndedError, TooManyStreamsError
from dashboard_api.jobs import openapi, schemas
from dashboard_api.jobs.event_stream import EventStream
from dashboard_api.jobs.job_access import check_role, find_job, submit_requested_job
from dashboard_api.jobs.job_events import job_stream_text, tenant_stream_text, wait_for_end
from dashboard_api.jobs.requests import EventFilter, JobFilter, parse_last_event_id, preferred_wait_s
from dashboard_api.jobs.results import file_path, file_to_send, result_document
from dashboard_api.middleware.fast_path import DirectRoute, verify_request
from dashboard_api.rendered_report import matches_etag
from dashboard_api.routes import API_KEY, BEARER
from dashboard_api.serialization import render_json
from dashboard_api.services import get_services

_PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}

router = APIRouter()
jobs = APIRouter(prefix=schemas.PATH, tags=["jobs"], route_class=DirectRoute)


async def _require_identity(
    request: Request, _bearer: Annotated[object, Depends(BEARER)], _key: Annotated[object, Depends(API_KEY)]
) -> Identity:
    """Return the identity, whose tenant need not have figures yet."""
    return await verify_request(request)


IdentityDependency = Annotated[Identity, Depends(_require_identity)]
JobId = Annotated[str, Path(description="The job's id.", examples=[schemas.EXAMPLE_ID])]


@jobs.post(
    "",
    status_code=202,
    response_model=schemas.JobModel,
    summary="Submit a job",
    responses=openapi.SUBMIT,
    openapi_extra=openapi.SUBMIT_EXTRA,
)
async def submit(request: Request, identity: IdentityDependency) -> Response:
    """Responds at once with the job's id; the job runs elsewhere.

    With an `Idempotency-Key` the request can be repeated safely: the same key and body result in the same job. With
    `Prefer: wait=n` the response waits for the end of the job, 30 s at most.
    """
    submitted = await submit_requested_job(get_services(request).jobs.store, request, identity)
    job, wait_headers = await _wait_as_preferred(request, identity, submitted.job)
    headers = {"Location": f"{schemas.PATH}/{job.id}", "X-Job-Outcome": submitted.outcome, **wait_headers}
    return _job_response(request, job, status=200 if job.is_ended else 202, headers=headers)


@jobs.get("", response_model=schemas.JobPageModel, summary="The tenant's jobs, newest first", responses=openapi.LIST)
async def list_jobs(request: Request, identity: IdentityDependency, filters: Annotated[JobFilter, Query()]) -> Response:
    """A page of jobs; `next` is the cursor of the next page."""
    services = get_services(request)
    page = await services.jobs.store.list(
        identity.tenant_id, kind=filters.kind, states=filters.state, limit=filters.limit, before=filters.before
    )
    documents = [schemas.job_document(job, services.settings) for job in page.jobs]
    return _json_response({"jobs": documents, "next": page.next})


@jobs.get("/kinds", response_model=schemas.KindsModel, summary="The kinds of jobs", responses=openapi.PROBLEMS)
async def list_kinds(request: Request, identity: IdentityDependency) -> Response:
    """The kinds that the caller's role may submit, with a JSON Schema of their parameters."""
    del request
    return _json_response(schemas.kinds_document(kind for kind in KINDS.values() if identity.role in kind.roles))


@jobs.get("/events", response_class=Response, summary="Follow all of the tenant's jobs", responses=openapi.STREAM)
async def follow_jobs(request: Request, identity: IdentityDependency) -> Response:
    """Server-Sent Events as they happen, without ids: after a disconnect, read the list again.

    `event: resync` says that events may have been missed while this server could not reach the store.
    """
    services = get_services(request).jobs
    release = services.limits.acquire(identity)
    subscription = services.events.subscribe_to_tenant(identity.tenant_id)
    return EventStream(subscription, tenant_stream_text(request, identity, subscription), release)


@jobs.get(
    "/{job_id}",
    response_model=schemas.JobModel,
    summary="A job's current state",
    responses=openapi.JOB,
    openapi_extra=openapi.JOB_EXTRA,
)
async def get_job(request: Request, identity: IdentityDependency, job_id: JobId) -> Response:
    """The `ETag` changes with every event; `Prefer: wait=n` waits for the end of the job."""
    job, wait_headers = await _wait_as_preferred(request, identity, await find_job(request, identity, job_id))
    return _job_response(request, job, headers=wait_headers)


@jobs.get(
    "/{job_id}/events",
    response_class=Response,
    summary="Follow a job",
    responses=openapi.EVENTS,
    openapi_extra=openapi.EVENTS_EXTRA,
)
async def follow_job(
    request: Request, identity: IdentityDependency, job_id: JobId, filters: Annotated[EventFilter, Query()]
) -> Response:
    """Server-Sent Events with `seq` as id: in order, without gaps or repeats, until the job has ended.

    Resume with `Last-Event-ID` or `after`. 204: there are no more events.
    """
    last_event_id = parse_last_event_id(request.headers.get("last-event-id"))
    after_seq = filters.after if last_event_id is None else last_event_id
    job = await find_job(request, identity, job_id)
    if job.is_ended and after_seq >= job.seq:
        return Response(status_code=204)
    services = get_services(request).jobs
    release = services.limits.acquire(identity)
    subscription = services.events.subscribe_to_job(job.id)
    return EventStream(subscription, job_stream_text(request, identity, subscription, job, after_seq), release)


@jobs.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=schemas.JobModel,
    summary="Cancel a job",
    responses=openapi.CANCEL,
)
async def cancel_job(request: Request, identity: IdentityDependency, job_id: JobId) -> Response:
    """200: the job is canceled. 202: its run was asked to stop. 409: it has already ended otherwise."""
    job = await find_job(request, identity, job_id)
    check_role(job.kind, identity)
    if not job.is_ended:
        job = await get_services(request).jobs.store.cancel(job.id) or job
    if job.is_ended and job.state is not JobState.CANCELED:
        raise JobEndedError(f"the job can't be canceled: it is {job.state}")
    return _job_response(request, job, status=200 if job.is_ended else 202)


@jobs.get("/{job_id}/result", response_model=schemas.ResultModel, summary="A job's result", responses=openapi.RESULT)
async def get_result(request: Request, identity: IdentityDependency, job_id: JobId) -> Response:
    """The result; for an export with a link to its file, which needs no credential until it expires."""
    services = get_services(request)
    job = await find_job(request, identity, job_id)
    document = result_document(job, services.settings.exports, services.jobs.links, now=datetime.now(UTC))
    return _json_response(document)


@router.get(schemas.PATH + "/{job_id}/file", tags=["jobs"], summary="An export's file", responses=openapi.FILE)
async def get_file(
    request: Request,
    job_id: JobId,
    expires: Annotated[str, Query(description="From the link.")] = "",
    signature: Annotated[str, Query(description="From the link.")] = "",
) -> Response:
    """Served to whoever has the link, until it expires."""
    services, now = get_services(request), datetime.now(UTC)
    services.jobs.links.check(file_path(job_id), expires, signature, now_s=now.timestamp())
    file = file_to_send(await services.jobs.store.get(job_id), services.settings.exports, now=now)
    return FileResponse(
        file.path, filename=file.name, media_type=file.media_type, headers={"Cache-Control": "private, no-store"}
    )


router.include_router(jobs)


async def _wait_as_preferred(request: Request, identity: Identity, job: Job) -> tuple[Job, dict[str, str]]:
    """Wait for the end of the job as `Prefer: wait=n` says; return the job, and the response's headers."""
    wait_s = preferred_wait_s(request.headers.get("prefer"))
    if wait_s is None:
        return job, {}
    services = get_services(request).jobs
    started_at = datetime.now(UTC)
    if not job.is_ended:
        try:
            release = services.limits.acquire(identity)
        except TooManyStreamsError:
            # A preference need not be honoured.
            return job, {}
        try:
            job = await wait_for_end(services.store, services.events, job, timeout_s=wait_s)
        finally:
            release()
            request.state.waited_s = (datetime.now(UTC) - started_at).total_seconds()
    return job, {"Preference-Applied": f"wait={wait_s}"}


def _job_response(request: Request, job: Job, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    etag = schemas.etag_of(job)
    headers = {"ETag": etag, **(headers or {})}
    if not job.is_ended:
        headers["Retry-After"] = "1"
    if request.method == "GET" and matches_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=_PRIVATE | headers)
    return _json_response(schemas.job_document(job, get_services(request).settings), status=status, headers=headers)


def _json_response(document: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(render_json(document), status, headers=_PRIVATE | (headers or {}), media_type="application/json")
