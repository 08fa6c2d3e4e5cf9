"""What requests about jobs contain, validated: bodies, headers, and the parameters of lists and streams."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from background_jobs.kinds import KINDS
from background_jobs.store import PRIORITY_MAX, JobState
from dashboard_api.errors import BodyTooLargeError, InvalidParameterError, MediaTypeError

DELAY_MAX_S = 30 * 86_400
BODY_MAX_BYTES = 64 * 1024
WAIT_MAX_S = 30
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.ASCII)
# An escaped NUL, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class JobRequest(BaseModel):
    """The body of `POST /api/jobs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(max_length=100, description="one of `GET /api/jobs/kinds`")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the kind")
    coalesce: bool | None = Field(
        None, description="join a queued job of the same kind and parameters; the default depends on the kind"
    )
    priority: int = Field(
        0, ge=-PRIORITY_MAX, le=PRIORITY_MAX, strict=True, description="among the tenant's jobs, higher ones run first"
    )
    delay_s: float = Field(0.0, ge=0, le=DELAY_MAX_S, strict=True, description="earliest start, in seconds from now")


class JobFilter(BaseModel):
    """Which of the tenant's jobs to list, newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str | None = Field(None, min_length=1, max_length=100, description="Only this kind.")
    state: tuple[JobState, ...] = Field(
        (), max_length=len(JobState), description="Only jobs in this state; may be repeated."
    )
    limit: int = Field(50, ge=1, le=200, description="Jobs per page.")
    before: str | None = Field(None, pattern=r"^[!-~]{1,200}$", description="`next` of the previous page.")


class EventFilter(BaseModel):
    """Where a stream of events begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(
        0, ge=0, le=2**53, description="Only events after this `seq`; the header `Last-Event-ID` takes precedence."
    )


async def read_body(request: Request, *, limit: int = BODY_MAX_BYTES) -> bytes:
    """Return the body, never holding more than the limit in memory.

    Raises:
        BodyTooLargeError: it is longer than `limit` bytes; the rest is not read.
    """
    too_large = BodyTooLargeError(f"the body may have at most {limit:,} bytes")
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > limit:
        raise too_large
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the body's JSON object.

    Raises:
        MediaTypeError: the Content-Type is another one.
        BodyTooLargeError: see `read_body`.
        InvalidParameterError: the body is no JSON object, or one that can't be stored.
    """
    content_type = request.headers.get("content-type") or "application/json"
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MediaTypeError(f"send application/json, not {media_type!r}")
    body = await read_body(request)
    try:
        document = json.loads(body, parse_constant=_reject_constant)
        text = json.dumps(document, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        # UnicodeError is a ValueError: a lone surrogate can be parsed, but not encoded.
        raise InvalidParameterError("body", f"malformed JSON: {error}"[:200]) from error
    if _NUL.search(text):
        raise InvalidParameterError("body", "contains a NUL character, which PostgreSQL can't store")
    if not isinstance(document, dict):
        raise InvalidParameterError("body", "must be a JSON object")
    return document


def parse_job_request(document: Mapping[str, Any]) -> JobRequest:
    """Return the request for a job; the parameters of its kind are not validated yet.

    Raises:
        RequestValidationError: names each invalid field.
        InvalidParameterError: there is no such kind.
    """
    try:
        job_request = JobRequest.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error
    if job_request.kind not in KINDS:
        raise InvalidParameterError("kind", f"unknown kind {job_request.kind[:100]!r}; use one of {', '.join(KINDS)}")
    return job_request


def parse_idempotency_key(header: str | None) -> str | None:
    """Return the value of `Idempotency-Key`, if there is one.

    Raises:
        InvalidParameterError: it is empty, too long, or has blanks.
    """
    if header is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(header):
        raise InvalidParameterError("Idempotency-Key", "must be 1 to 255 visible ASCII characters, such as a UUID")
    return header


def parse_last_event_id(header: str | None) -> int | None:
    """Return the `seq` after which a stream resumes, if there is one.

    Raises:
        InvalidParameterError: it is no id of an event.
    """
    if not header:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) <= 16):
        raise InvalidParameterError("Last-Event-ID", "must be the `id` of the last event received, a whole number")
    return int(header)


def preferred_wait_s(prefer: str | None) -> int | None:
    """Return how long the client prefers to wait for the end of the job: `Prefer: wait=n` (RFC 7240, 4.3).

    Returns:
        Seconds, at most `WAIT_MAX_S`; None without such a preference. The RFC has malformed ones ignored.
    """
    for preference in (prefer or "").split(","):
        match = _WAIT.fullmatch(preference)
        if match is not None:
            return min(int(match[1]), WAIT_MAX_S)
    return None


def fingerprint(document: Mapping[str, Any]) -> str:
    """Return a hash that is the same for equal JSON, however it is written."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _reject_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
