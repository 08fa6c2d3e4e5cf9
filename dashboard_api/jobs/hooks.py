"""The door for other systems: a signed delivery (Standard Webhooks) starts the job that its hook is for."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from background_jobs.kinds import KINDS
from background_jobs.webhooks import InvalidSignatureError, new_secret, verify_signature
from background_jobs.webhooks.inbound import Hook, find_hook
from dashboard_api.answers import render_json
from dashboard_api.errors import ParameterError
from dashboard_api.jobs import openapi
from dashboard_api.jobs.bodies import read_body
from dashboard_api.jobs.documents import HookModel
from dashboard_api.jobs.errors import HookNotFoundError, HookRefusedError
from dashboard_api.jobs.submitting import submit
from dashboard_api.services import services_of
from dbconnect import Read
from dbconnect.routes import AsyncConnection

# Read whole, since the signature is over all of it; what it says is of no use here.
BODY_MAX_BYTES = 1024 * 1024
PATH = "/api/hooks"
# A token that is unknown is checked against this, so that it takes as long as one that is known.
_NOBODYS_SECRET = new_secret()

router = APIRouter(tags=["jobs"])


@router.post(
    PATH + "/{token}",
    status_code=202,
    response_model=HookModel,
    summary="A delivery of another system",
    responses=openapi.HOOK,
    openapi_extra=openapi.HOOK_EXTRA,
)
async def receive(request: Request, token: Annotated[str, Path(description="As the hook was given.")]) -> Response:
    """Starts the job that the hook is for. A delivery that is sent again is the same job."""
    body = await read_body(request, most=BODY_MAX_BYTES)
    hook = await _find(request, token)
    try:
        message_id = verify_signature(
            hook.secrets if hook else (_NOBODYS_SECRET,), request.headers, body, now_s=time.time()
        )
    except InvalidSignatureError as error:
        if hook is not None:
            raise HookRefusedError(str(error)) from error
    if hook is None:
        raise HookNotFoundError("no hook has this token")
    if hook.kind not in KINDS:
        raise ParameterError("kind", f"the hook is for {hook.kind}, which there is no more; make another hook")
    submitted = await submit(
        services_of(request).jobs.store,
        hook.kind,
        tenant=hook.tenant_id,
        subject=f"hook:{hook.hook_id}",
        params=dict(hook.params),
        # Ids may be longer than keys.
        idempotency_key=f"hook:{hook.hook_id}:{hashlib.sha256(message_id.encode('utf-8', 'surrogatepass')).hexdigest()}",
    )
    document: dict[str, Any] = {"job_id": submitted.job.id, "outcome": submitted.outcome}
    return Response(render_json(document), 202, headers={"Cache-Control": "no-store"}, media_type="application/json")


async def _find(request: Request, token: str) -> Hook | None:
    async def read(opened: Read[AsyncConnection]) -> Hook | None:
        return await find_hook(opened.connection, token)

    return await services_of(request).router.run(read)
