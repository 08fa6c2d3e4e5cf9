"""What a request can be refused for. Each becomes one problem document (RFC 9457)."""

from dbconnect import SalespulseError


class ProblemError(SalespulseError):
    """A request that can't be answered; the message is the problem's detail, and is shown to the caller.

    Attributes:
        status: HTTP status.
        kind: the problem's type: the last part of its URI, stable for programs.
        title: what the type means, the same every time.
        headers: further response headers.
    """

    status = 500
    kind = "internal"
    title = "Something went wrong here"

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers or {}


class UnauthenticatedError(ProblemError):
    """No credential, or one that doesn't hold."""

    status = 401
    kind = "unauthenticated"
    title = "A valid credential is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="salespulse"'})


class ForbiddenError(ProblemError):
    """A valid credential that may not do this."""

    status = 403
    kind = "forbidden"
    title = "This credential may not do this"


class StoreNotFoundError(ProblemError):
    """A store that the tenant doesn't have; whether another tenant has it is not said."""

    status = 404
    kind = "store-not-found"
    title = "There is no such store"


class ParameterError(ProblemError):
    """A parameter that can't be used; names it."""

    status = 422
    kind = "invalid-parameter"
    title = "A parameter can't be used"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.reason = detail


class NotReadyError(ProblemError):
    """No server can answer now, or nothing has been refreshed yet."""

    status = 503
    kind = "unavailable"
    title = "The figures can't be read just now"

    def __init__(self, detail: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after_s)))})


class NotConfiguredError(SalespulseError):
    """A setting that the API can't do without is missing."""
