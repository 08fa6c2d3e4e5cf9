"""A route whose three arguments are found without FastAPI's dependency solving, and a way past FastAPI's routing to it.

Together these were three quarters of the time of a cached answer. The endpoints are declared as usual, so that the OpenAPI
document has every parameter; only who fills them in, and who leads there, differs.
"""

from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard_api.auth import Caller
from dashboard_api.credentials import credentials_of, identity_or_refusal
from dashboard_api.errors import ParameterError
from dashboard_api.filters import Filter
from dashboard_api.problems import refusal_of
from dashboard_api.services import services_of

AskedT = TypeVar("AskedT", bound=BaseModel)
_LISTS = frozenset({"store", "state"})
_FIELDS_MAX = 100
# Most users ask the same few questions: those that were read lately are not read again, unless they are long.
_REMEMBERED = 4_096
_SHORT = 256


async def find_caller(request: Request) -> Caller:
    """Give who asks.

    Raises:
        ProblemError: see `Authenticator.authenticate`.
    """
    authenticator = services_of(request).authenticator
    caller = await authenticator.authenticate(identity_or_refusal(request.scope), lambda: credentials_of(request.scope))
    request.state.subject = caller.identity.subject
    return caller


class ReportRoute(APIRoute):
    """For endpoints of the form `(request, caller, asked: Annotated[Filter, Query()])`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give what answers a request."""
        endpoint = self.endpoint
        filter_type: type[Filter] = get_args(endpoint.__annotations__["asked"])[0]

        async def handle(request: Request) -> Response:
            caller = await find_caller(request)
            query_string: bytes = request.scope["query_string"]
            read = _read_once if len(query_string) <= _SHORT else read_filter
            asked = read(filter_type, query_string)
            response: Response = await endpoint(request=request, caller=caller, asked=asked)
            return response

        return handle


class Shortcut:
    """Leads a request straight to the handler of its route; everything else goes the usual way.

    Args:
        app: the usual way.
        routes: those that are short-cut, by their handlers alone; they have no parameters in their paths.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): (route, route.get_route_handler())
            for route in routes
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        found = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        route, handle = found
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await handle(request)
        except Exception as error:  # noqa: BLE001 - raised anew where it has no problem document
            response = await refusal_of(request, error)
        await response(scope, receive, send)


def read_filter(filter_type: type[AskedT], query_string: bytes) -> AskedT:
    """Read the parameters of a query.

    Raises:
        RequestValidationError: one is unknown, or has a value that it can't have; each is named.
        ParameterError: one that is no list is given twice, or the dates contradict each other.
    """
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise ParameterError("query", f"has more than {_FIELDS_MAX} parameters") from error
    for name, value in pairs:
        if name in _LISTS:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise ParameterError(name, "is given twice")
        else:
            values[name] = value
    try:
        return filter_type.model_validate(values, by_name=False)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("query", *item["loc"])} for item in error.errors()]) from error


@lru_cache(maxsize=_REMEMBERED)
def _read_once(filter_type: type[AskedT], query_string: bytes) -> AskedT:
    return read_filter(filter_type, query_string)
