"""What a request about jobs can be refused for; each is one problem document (docs/jobs-api.md)."""

from dashboard_api.errors import ProblemError


def _whole_seconds(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(seconds)))}


class JobNotFoundError(ProblemError):
    """A job that the tenant doesn't have; whether another tenant has it is not said."""

    status = 404
    kind = "job-not-found"
    title = "There is no such job"


class HookNotFoundError(ProblemError):
    """No inbound hook has this token."""

    status = 404
    kind = "hook-not-found"
    title = "There is no such hook"


class HookRefusedError(ProblemError):
    """A delivery whose signature or time does not hold."""

    status = 401
    kind = "hook-signature"
    title = "The delivery is not signed as it must be"


class IdempotencyError(ProblemError):
    """An idempotency key that was used for another request."""

    status = 422
    kind = "idempotency-conflict"
    title = "The idempotency key belongs to another request"


class QueueFullProblemError(ProblemError):
    """As many jobs wait as may: 429 where they are the tenant's own, 503 where they are everybody's."""

    kind = "queue-full"
    title = "Too many jobs are waiting"

    def __init__(self, *, is_own: bool, retry_after_s: float) -> None:
        whose = "of this tenant's" if is_own else "of all tenants'"
        super().__init__(f"as many {whose} jobs wait as may; ask again later", headers=_whole_seconds(retry_after_s))
        self.status = 429 if is_own else 503


class TooManyStreamsError(ProblemError):
    """More open streams and waiting requests than one user, or the process, may have."""

    status = 429
    kind = "too-many-streams"
    title = "Too many streams are open"

    def __init__(self, detail: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(detail, headers=_whole_seconds(retry_after_s))


class JobNotEndedError(ProblemError):
    """A result was asked for before there is one."""

    status = 409
    kind = "job-not-ended"
    title = "The job has not ended yet"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, headers=_whole_seconds(retry_after_s))


class JobEndedError(ProblemError):
    """Something was asked of a job that has ended otherwise: cancelling it, or its result."""

    status = 409
    kind = "job-ended"
    title = "The job has ended already"


class ResultGoneError(ProblemError):
    """A result or a link that has expired."""

    status = 410
    kind = "result-expired"
    title = "The result is not kept any more"


class LinkRefusedError(ProblemError):
    """A link whose signature does not hold."""

    status = 403
    kind = "link-signature"
    title = "The link is not one of these"


class BodyTooLargeError(ProblemError):
    """A body longer than it may be."""

    status = 413
    kind = "body-too-large"
    title = "The body is too large"

    def __init__(self, detail: str) -> None:
        # Whoever goes on sending would be read to the end otherwise.
        super().__init__(detail, headers={"Connection": "close"})


class MediaTypeError(ProblemError):
    """A body of another media type."""

    status = 415
    kind = "media-type"
    title = "The body must be JSON"


class JobsUnavailableError(ProblemError):
    """The jobs' store can't be reached; dashboards go on."""

    status = 503
    kind = "jobs-unavailable"
    title = "Jobs can't be reached just now"

    def __init__(self, detail: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(detail, headers=_whole_seconds(retry_after_s))
