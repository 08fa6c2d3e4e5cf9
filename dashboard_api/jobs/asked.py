"""What a caller may ask of jobs: the body of a request for one, its headers, and the parameters of the list."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from background_jobs.kinds import KINDS
from background_jobs.store import JobState
from dashboard_api.errors import ParameterError

DELAY_MAX_S = 30 * 86_400
PRIORITY_MAX = 10
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class JobRequest(BaseModel):
    """The body of `POST /api/jobs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(max_length=100, description="one of `GET /api/jobs/kinds`")
    params: dict[str, Any] = Field(default_factory=dict, description="of the kind")
    coalesce: bool | None = Field(
        None,
        description="join a job of the same kind and parameters that has not started; the kind decides unless given",
    )
    priority: int = Field(
        0, ge=-PRIORITY_MAX, le=PRIORITY_MAX, strict=True, description="the tenant's jobs with a higher one go first"
    )
    delay_s: float = Field(0.0, ge=0, le=DELAY_MAX_S, strict=True, description="not before so many seconds from now")


class JobFilter(BaseModel):
    """Which jobs of the tenant to list, the newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str | None = Field(None, min_length=1, max_length=100, description="Only this kind.")
    state: tuple[JobState, ...] = Field(
        (), max_length=len(JobState), description="Only jobs in this state; repeat for several."
    )
    limit: int = Field(50, ge=1, le=200, description="Jobs in the answer.")
    before: str | None = Field(
        None, pattern=r"^[!-~]{1,200}$", description="Where to go on: `next` of the page before."
    )


class EventsAsked(BaseModel):
    """Where a stream of events begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(
        0, ge=0, le=2**53, description="Only events after this `seq`; the header `Last-Event-ID` says so too, and wins."
    )


def read_job_request(document: Mapping[str, Any]) -> JobRequest:
    """Check what was asked for, its parameters aside.

    Raises:
        RequestValidationError: names each field that can't be used.
        ParameterError: there is no such kind.
    """
    try:
        asked = JobRequest.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error
    if asked.kind not in KINDS:
        raise ParameterError("kind", f"there is no kind {asked.kind[:100]!r}; take one of {', '.join(KINDS)}")
    return asked


def read_idempotency_key(header: str | None) -> str | None:
    """Give the key, if there is one.

    Raises:
        ParameterError: it is empty, too long, or has blanks.
    """
    if header is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(header):
        raise ParameterError("Idempotency-Key", "has 1 to 255 visible ASCII characters, such as a UUID")
    return header


def read_last_event_id(header: str | None) -> int | None:
    """Give the `seq` that a stream is to go on after, if there is one.

    Raises:
        ParameterError: it is none that this API gave.
    """
    if not header:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) <= 16):
        raise ParameterError("Last-Event-ID", "is the `id` of the last event that was seen: a whole number")
    return int(header)


def fingerprint(document: Mapping[str, Any]) -> str:
    """Give what tells one request from another: equal JSON, however it is written, has an equal one."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
