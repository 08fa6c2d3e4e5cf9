"""What answers about jobs look like: the documents themselves, and their models for the OpenAPI document."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from background_jobs.kinds import JobKind
from background_jobs.store import FailureCode, Job, JobState
from dashboard_api.models import Document
from dbconnect import Settings

PATH = "/api/jobs"
EXAMPLE_ID = "0193a5c0-7d4e-7a61-9c3b-5d1f6a2b8c90"


class JobLinks(Document):
    """Where to go from a job."""

    self: str = Field(examples=[f"{PATH}/{EXAMPLE_ID}"])
    events: str
    cancel: str
    result: str
    run: str | None = Field(description="The run in Dagster's UI; null where none is known.")


class DeadlinesModel(Document):
    """The most seconds that a job may spend in each live state."""

    queue_s: float
    start_s: float
    lease_s: float
    run_s: float
    cancel_s: float


class LateOutcomeModel(Document):
    """What was heard of an attempt after it had ended, where it contradicts the ending."""

    attempt: int
    state: JobState
    code: str | None
    at: datetime


class JobModel(Document):
    """A job as it is now. Times are null until they come."""

    id: str = Field(examples=[EXAMPLE_ID])
    kind: str = Field(examples=["refresh_sales_summary"])
    tenant: str
    subject: str = Field(description="Who asked for it.")
    params: dict[str, Any]
    state: JobState
    is_ended: bool = Field(description="Whether the state will never change again.")
    code: FailureCode | None = Field(description="Why it failed, or why its last attempt did.")
    message: str | None = Field(description="What it does, or what went wrong, in words.")
    attempt: int = Field(description="1 for the first; rises where it is begun again.")
    max_attempts: int
    seq: int = Field(description="Rises with every event; the ids of the stream, and the entity tag, follow it.")
    percent: float | None
    step: str | None
    counts: dict[str, float] = Field(description="What it has counted so far, by name.")
    priority: int
    created_at: datetime
    available_at: datetime = Field(description="Not begun before then.")
    claimed_until_at: datetime | None
    dispatched_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    heartbeat_at: datetime | None = Field(description="The last sign of life of its run.")
    deadline_at: datetime | None = Field(description="When the present state ends at the latest.")
    run_id: str | None = Field(description="The run of Dagster's that does the work.")
    result: dict[str, Any] | None
    waiting_for: str | None = Field(description="Why it has not begun yet; null where nothing is in the way.")
    late_outcome: LateOutcomeModel | None
    joined: int = Field(description="Requests that joined this job instead of making one.")
    retry_delay_s: float
    deadlines: DeadlinesModel
    coalesce_key: str | None = Field(description="Requests with the same one join, as long as the job has not begun.")
    links: JobLinks


class JobPageModel(Document):
    """Jobs, the newest first."""

    jobs: list[JobModel]
    next: str | None = Field(description="`before` of the next page; null on the last.")


class KindModel(Document):
    """A kind of job that the caller may ask for."""

    kind: str = Field(examples=["refresh_sales_summary"])
    description: str
    coalesces: bool = Field(description="Whether a request joins an equal one that waits, unless it says otherwise.")
    max_attempts: int
    params_schema: dict[str, Any] = Field(description="JSON Schema of `params`.")


class KindsModel(Document):
    """Every kind that the caller may ask for."""

    kinds: list[KindModel]


class FileModel(Document):
    """A file that a job has made."""

    name: str = Field(examples=["sales-report.csv"])
    bytes: int
    format: str
    url: str = Field(description="Opens without a credential until `url_expires_at`; ask again for another.")
    url_expires_at: datetime
    expires_at: datetime = Field(description="When the file goes.")


class ResultModel(Document):
    """What a job gave."""

    job_id: str
    result: dict[str, Any] | None
    file: FileModel | None


class HookModel(Document):
    """What became of a delivery."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    outcome: Literal["created", "replayed", "joined"]


def job_document(job: Job, settings: Settings) -> dict[str, Any]:
    """Give a job as it is answered."""
    own = f"{PATH}/{job.id}"
    ui = settings.dagster_webserver_url
    return {
        **job.as_document(),
        "links": {
            "self": own,
            "events": f"{own}/events",
            "cancel": f"{own}/cancel",
            "result": f"{own}/result",
            "run": f"{ui.rstrip('/')}/runs/{job.run_id}" if ui and job.run_id else None,
        },
    }


def etag_of(job: Job) -> str:
    """Give a tag that changes with every event of the job, and with what it waits for."""
    waiting = hashlib.blake2b(job.waiting_for.encode(), digest_size=4).hexdigest() if job.waiting_for else ""
    return f'W/"{job.seq}{"-" if waiting else ""}{waiting}"'


def kinds_document(kinds: Iterable[JobKind]) -> dict[str, Any]:
    """Give kinds with the schema of their parameters."""
    return {
        "kinds": [
            {
                "kind": kind.name,
                "description": kind.description,
                "coalesces": kind.coalesces,
                "max_attempts": kind.max_attempts,
                "params_schema": kind.params.model_json_schema(),
            }
            for kind in kinds
        ]
    }
