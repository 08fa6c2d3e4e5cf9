"""The endpoint for other systems: a signed delivery (Standard Webhooks) submits the job that its hook is configured for."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from background_jobs.kinds import KINDS
from background_jobs.webhooks import InvalidSignatureError, new_secret, verify_signature
from background_jobs.webhooks.inbound import Hook, find_hook
from dashboard_api.errors import HookNotFoundError, HookSignatureError, InvalidParameterError
from dashboard_api.jobs import openapi
from dashboard_api.jobs.job_access import submit_job
from dashboard_api.jobs.requests import read_body
from dashboard_api.jobs.schemas import HookModel
from dashboard_api.serialization import render_json
from dashboard_api.services import get_services
from dbconnect import Read
from dbconnect.routes import AsyncConnection

# Read entirely, since the signature covers it; its content is not used.
DELIVERY_MAX_BYTES = 1024 * 1024
_PATH = "/api/hooks"
# An unknown token is verified against this secret, so that it takes as long as a known one.
_DUMMY_SECRET = new_secret()

router = APIRouter(tags=["jobs"])


@router.post(
    _PATH + "/{token}",
    status_code=202,
    response_model=HookModel,
    summary="Receive a webhook from another system",
    responses=openapi.HOOK,
    openapi_extra=openapi.HOOK_EXTRA,
)
async def receive(request: Request, token: Annotated[str, Path(description="The hook's token.")]) -> Response:
    """Submits the hook's job. A repeated delivery results in the same job."""
    body = await read_body(request, limit=DELIVERY_MAX_BYTES)
    hook = await _find_hook(request, token)
    try:
        message_id = verify_signature(
            hook.secrets if hook else (_DUMMY_SECRET,), request.headers, body, now_s=time.time()
        )
    except InvalidSignatureError as error:
        if hook is not None:
            raise HookSignatureError(str(error)) from error
    if hook is None:
        raise HookNotFoundError("no hook has this token")
    if hook.kind not in KINDS:
        raise InvalidParameterError("kind", f"the hook's kind {hook.kind} no longer exists; create another hook")
    submitted = await submit_job(
        get_services(request).jobs.store,
        hook.kind,
        tenant=hook.tenant_id,
        subject=f"hook:{hook.hook_id}",
        params=dict(hook.params),
        # Hashed, since ids may be longer than keys.
        idempotency_key=f"hook:{hook.hook_id}:{hashlib.sha256(message_id.encode('utf-8', 'surrogatepass')).hexdigest()}",
    )
    document: dict[str, Any] = {"job_id": submitted.job.id, "outcome": submitted.outcome}
    return Response(render_json(document), 202, headers={"Cache-Control": "no-store"}, media_type="application/json")


async def _find_hook(request: Request, token: str) -> Hook | None:
    async def read(opened: Read[AsyncConnection]) -> Hook | None:
        return await find_hook(opened.connection, token)

    return await get_services(request).router.run(read)
