"""Submit and find jobs on behalf of a caller: roles are checked, and a tenant sees only its own jobs."""

import uuid
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from background_jobs.kinds import KINDS, OPERATOR, JobParameterError
from background_jobs.store import AsyncJobStore, Job, SubmitResult
from dashboard_api.auth import Identity
from dashboard_api.errors import ForbiddenError, JobNotFoundError
from dashboard_api.jobs.requests import fingerprint, parse_idempotency_key, parse_job_request, read_json
from dashboard_api.middleware.fast_path import authorize_request
from dashboard_api.services import get_services
from dbconnect import Read
from dbconnect.routes import AsyncConnection
from dbsql import query


async def submit_requested_job(store: AsyncJobStore, request: Request, identity: Identity) -> SubmitResult:
    """Submit the job that a request describes.

    Raises:
        ProblemError: the request is invalid, or the role may not submit this kind.
        RequestValidationError: names each invalid field.
        JobError: the store refuses, or is unavailable.
    """
    idempotency_key = parse_idempotency_key(request.headers.get("idempotency-key"))
    document = await read_json(request)
    job_request = parse_job_request(document)
    check_role(job_request.kind, identity)
    return await submit_job(
        store,
        job_request.kind,
        tenant=identity.tenant_id,
        subject=identity.subject,
        params=job_request.params,
        coalesce=job_request.coalesce,
        priority=job_request.priority,
        delay_s=job_request.delay_s,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint(document) if idempotency_key is not None else "",
    )


async def submit_job(store: AsyncJobStore, kind: str, *, params: dict[str, Any], **options: Any) -> SubmitResult:
    """Submit a job.

    Args:
        store: where jobs are stored.
        kind: the name of the job's kind.
        params: parameters of the kind.
        options: other arguments of `JobKind.submission`.

    Raises:
        RequestValidationError: names each invalid parameter.
        JobError: the store refuses, or is unavailable.
    """
    try:
        submission = KINDS[kind].submission(params=params, **options)
    except JobParameterError as error:
        errors = [
            {"loc": ("body", "params", *filter(None, item.field.split("."))), "msg": item.message}
            for item in error.problems
        ]
        raise RequestValidationError(errors) from error
    return await store.submit(submission)


def check_role(kind: str, identity: Identity) -> None:
    """Check that the identity's role may submit and cancel jobs of a kind.

    Raises:
        ForbiddenError: it may not.
    """
    roles = KINDS[kind].roles if kind in KINDS else ()
    if identity.role not in roles:
        if kind in KINDS and KINDS[kind].is_for_operators:
            raise ForbiddenError(
                f"{kind} works over all tenants and requires the role {OPERATOR}; `salespulse jobs submit` requires no role"
            )
        raise ForbiddenError(f"{kind} requires one of the roles {', '.join(sorted(roles)) or '(none)'}")


async def find_job(request: Request, identity: Identity, job_id: str) -> Job:
    """Return a job of the identity's tenant: from the store or, long after its end, from the archive in the warehouse.

    Raises:
        JobNotFoundError: the tenant has no such job; whether another tenant has it is not revealed.
        JobStoreUnavailableError: the store is unavailable.
    """
    not_found = JobNotFoundError(f"no job {job_id[:60]!r}")
    if not _is_job_id(job_id):
        raise not_found
    job = await get_services(request).jobs.store.get(job_id) or await _find_archived(request, job_id)
    if job is None or job.tenant != identity.tenant_id:
        raise not_found
    return job


async def _find_archived(request: Request, job_id: str) -> Job | None:
    try:
        caller = await authorize_request(request)
    except ForbiddenError:
        # A tenant that is not in the warehouse has no archived jobs.
        return None

    async def read(opened: Read[AsyncConnection]) -> dict[str, Any] | None:
        return await (await opened.connection.execute(query("job_archive.find"), {"job_id": job_id})).fetchone()

    row = await get_services(request).router.run(read, tenant_key=caller.tenant_key)
    return None if row is None else Job.from_document(row["record"])


def _is_job_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
