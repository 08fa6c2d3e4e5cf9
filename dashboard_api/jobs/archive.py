"""Find a job: where jobs live, or, long after its ending, in the warehouse's archive."""

import uuid
from typing import Any

from starlette.requests import Request

from background_jobs.store import Job
from dashboard_api.auth import Identity
from dashboard_api.errors import ForbiddenError
from dashboard_api.jobs.errors import JobNotFoundError
from dashboard_api.report_route import find_caller
from dashboard_api.services import services_of
from dbconnect import Read
from dbconnect.routes import AsyncConnection
from dbsql import query


async def find_job(request: Request, identity: Identity, job_id: str) -> Job:
    """Give a job of the caller's tenant.

    Raises:
        JobNotFoundError: the tenant has no such job; nothing tells whether another one has.
        JobStoreUnavailableError: the store can't be reached.
    """
    not_found = JobNotFoundError(f"no job {job_id[:60]!r}")
    if not _is_id(job_id):
        raise not_found
    job = await services_of(request).jobs.store.get(job_id) or await _archived(request, job_id)
    if job is None or job.tenant != identity.tenant_id:
        raise not_found
    return job


async def _archived(request: Request, job_id: str) -> Job | None:
    try:
        caller = await find_caller(request)
    except ForbiddenError:
        # A tenant that the warehouse doesn't know has nothing there.
        return None

    async def read(opened: Read[AsyncConnection]) -> dict[str, Any] | None:
        return await (await opened.connection.execute(query("job_archive.find"), {"job_id": job_id})).fetchone()

    row = await services_of(request).router.run(read, tenant_key=caller.tenant_key)
    return None if row is None else Job.from_document(row["record"])


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
