"""The errors that a request can end with, each one problem document (RFC 9457), and the configuration error.

How an error becomes a response is in `problems`; the documentation of each kind is in docs/dashboard-api.md and docs/jobs-api.md.
"""

from typing import ClassVar, Self

from dbconnect import SalespulseError


class ProblemError(SalespulseError):
    """A request that can't be served; the message is the problem's detail and is shown to the client.

    Attributes:
        status: HTTP status.
        kind: the last part of the problem's type URI, stable for programs.
        title: a summary of the kind, the same every time.
        default_headers: response headers of every problem of this kind.
        retry_after_s: seconds until a retry makes sense; None: a retry does not help.
        headers: response headers of this problem.
        errors: each invalid field with its reason; None where the problem is not about fields.
    """

    status: int = 500
    kind: str = "internal"
    title: str = "Internal server error"
    default_headers: ClassVar[dict[str, str]] = {}
    retry_after_s: float | None = None

    def __init_subclass__(cls, *, kind: str, title: str, status: int = 500, retry_after_s: float | None = None) -> None:
        super().__init_subclass__()
        cls.status, cls.kind, cls.title, cls.retry_after_s = status, kind, title, retry_after_s

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.errors: list[dict[str, str]] | None = None
        self.headers = dict(self.default_headers)
        retry_after_s = retry_after_s or self.retry_after_s
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after_s)))


class UnauthenticatedError(ProblemError, status=401, kind="unauthenticated", title="Valid credential required"):
    """The credential is missing or invalid."""

    default_headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="salespulse"'}


class ForbiddenError(ProblemError, status=403, kind="forbidden", title="Permission denied"):
    """The credential is valid but lacks the permission."""


class StoreNotFoundError(ProblemError, status=404, kind="store-not-found", title="Store not found"):
    """The tenant has no such store; whether another tenant has it is not revealed."""


class InvalidParameterError(ProblemError, status=422, kind="invalid-parameter", title="Invalid parameter"):
    """A parameter, header or body field has an invalid value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.errors = [{"field": field, "detail": reason}]

    @classmethod
    def of_fields(cls, errors: list[dict[str, str]]) -> Self:
        """Return the problem of several fields, each given with its `field` and `detail`."""
        problem = cls("", "")
        problem.args = ("; ".join(f"{error['field']}: {error['detail']}" for error in errors),)
        problem.errors = errors
        return problem


class NotReadyError(
    ProblemError, status=503, kind="unavailable", title="Figures temporarily unavailable", retry_after_s=2.0
):
    """No database server can answer now, or no refresh has finished yet."""


class JobNotFoundError(ProblemError, status=404, kind="job-not-found", title="Job not found"):
    """The tenant has no such job; whether another tenant has it is not revealed."""


class HookNotFoundError(ProblemError, status=404, kind="hook-not-found", title="Webhook not found"):
    """No inbound hook has this token."""


class HookSignatureError(ProblemError, status=401, kind="hook-signature", title="Invalid webhook signature"):
    """The delivery's signature is invalid, or its timestamp is too old or too new."""


class IdempotencyKeyReusedError(
    ProblemError, status=422, kind="idempotency-conflict", title="Idempotency key already used for a different request"
):
    """The idempotency key was used for another request."""


class JobQueueFullError(ProblemError, kind="queue-full", title="Job queue full"):
    """The job queue is full: 429 for the tenant's own queue, 503 for the queue of all tenants."""

    def __init__(self, detail: str, *, is_tenant_limit: bool, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.status = 429 if is_tenant_limit else 503


class TooManyStreamsError(
    ProblemError, status=429, kind="too-many-streams", title="Too many open streams", retry_after_s=5.0
):
    """The user, or this process, has too many event streams and waiting requests open."""


class JobNotEndedError(ProblemError, status=409, kind="job-not-ended", title="Job not finished", retry_after_s=1.0):
    """The job has no result yet, since it has not finished."""


class JobEndedError(ProblemError, status=409, kind="job-ended", title="Job already finished"):
    """The job has already finished in a state that rules the request out: nothing to cancel, or no result."""


class ResultExpiredError(ProblemError, status=410, kind="result-expired", title="Result expired"):
    """The result file or the download link has expired."""


class DownloadLinkError(ProblemError, status=403, kind="link-signature", title="Invalid download link"):
    """The download link's signature is invalid."""


class BodyTooLargeError(ProblemError, status=413, kind="body-too-large", title="Request body too large"):
    """The request body is too large."""

    # Otherwise the rest of the body would be read to its end.
    default_headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class MediaTypeError(ProblemError, status=415, kind="media-type", title="Unsupported media type"):
    """The request body is not JSON."""


class JobsUnavailableError(
    ProblemError, status=503, kind="jobs-unavailable", title="Jobs temporarily unavailable", retry_after_s=2.0
):
    """The job store can't be reached; dashboards keep working."""


class NotConfiguredError(SalespulseError):
    """A setting that the API requires is missing or unusable."""
