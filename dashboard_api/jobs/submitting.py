"""Ask for a job: from a request, and from another system's hook."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from background_jobs.kinds import KINDS, OPERATOR, JobParameterError
from background_jobs.store import AsyncJobStore, SubmitResult
from dashboard_api.auth import Identity
from dashboard_api.errors import ForbiddenError
from dashboard_api.jobs.asked import fingerprint, read_idempotency_key, read_job_request
from dashboard_api.jobs.bodies import read_json


async def submit_job(store: AsyncJobStore, request: Request, identity: Identity) -> SubmitResult:
    """Submit what a request asks for.

    Raises:
        ProblemError: it can't be asked for like this, or not by this role.
        RequestValidationError: names each field that can't be used.
        JobError: the store refuses, or can't be reached.
    """
    key = read_idempotency_key(request.headers.get("idempotency-key"))
    document = await read_json(request)
    asked = read_job_request(document)
    check_role(asked.kind, identity)
    return await submit(
        store,
        asked.kind,
        tenant=identity.tenant_id,
        subject=identity.subject,
        params=asked.params,
        coalesce=asked.coalesce,
        priority=asked.priority,
        delay_s=asked.delay_s,
        idempotency_key=key,
        fingerprint=fingerprint(document) if key is not None else "",
    )


async def submit(store: AsyncJobStore, kind: str, *, params: dict[str, Any], **given: Any) -> SubmitResult:
    """Submit a job of a kind.

    Args:
        store: where to.
        kind: its name.
        params: of the kind.
        given: what else `JobKind.submission` takes.

    Raises:
        RequestValidationError: names each parameter that can't be used.
        JobError: see `submit_job`.
    """
    try:
        submission = KINDS[kind].submission(params=params, **given)
    except JobParameterError as error:
        problems = [
            {"loc": ("body", "params", *filter(None, item.field.split("."))), "msg": item.message}
            for item in error.problems
        ]
        raise RequestValidationError(problems) from error
    return await store.submit(submission)


def check_role(kind: str, identity: Identity) -> None:
    """Let those through who may ask for, and cancel, jobs of a kind.

    Raises:
        ForbiddenError: the role is none of the kind's.
    """
    roles = KINDS[kind].roles if kind in KINDS else ()
    if identity.role not in roles:
        if kind in KINDS and KINDS[kind].is_for_operators:
            raise ForbiddenError(
                f"{kind} works over all tenants: the role must be {OPERATOR}; `salespulse jobs submit` needs none"
            )
        raise ForbiddenError(f"for {kind} the role must be one of {', '.join(sorted(roles)) or '(none)'}")
