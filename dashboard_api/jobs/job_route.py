"""A route that finds who asks and what is asked without FastAPI's dependency solving, as `ReportRoute` does for figures."""

from collections.abc import Callable, Coroutine
from typing import Any, get_args

from fastapi import Request, Response
from fastapi.routing import APIRoute

from background_jobs.store import JobError
from dashboard_api.auth import Identity
from dashboard_api.credentials import credentials_of, identity_or_refusal
from dashboard_api.jobs.handlers import problem_of
from dashboard_api.report_route import read_filter
from dashboard_api.services import services_of


async def find_identity(request: Request) -> Identity:
    """Give who asks.

    Raises:
        ProblemError: see `Authenticator.identify`.
    """
    authenticator = services_of(request).authenticator
    identity = await authenticator.identify(identity_or_refusal(request.scope), lambda: credentials_of(request.scope))
    request.state.subject = identity.subject
    return identity


class JobRoute(APIRoute):
    """For endpoints of the form `(request, identity, [job_id], [asked: Annotated[Model, Query()]])`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give what answers a request."""
        endpoint = self.endpoint
        asked = endpoint.__annotations__.get("asked")
        asked_type = get_args(asked)[0] if asked is not None else None

        async def handle(request: Request) -> Response:
            given: dict[str, Any] = {"identity": await find_identity(request), **request.path_params}
            if asked_type is not None:
                given["asked"] = read_filter(asked_type, request.scope["query_string"])
            try:
                response: Response = await endpoint(request=request, **given)
            except JobError as error:
                raise problem_of(error) from error
            return response

        return handle
