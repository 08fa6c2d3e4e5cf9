"""Responses about jobs: the documents, and their schemas for the OpenAPI document."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from background_jobs.kinds import JobKind
from background_jobs.store import FailureCode, Job, JobState
from dashboard_api.schemas import ResponseModel
from dbconnect import Settings

PATH = "/api/jobs"
EXAMPLE_ID = "0193a5c0-7d4e-7a61-9c3b-5d1f6a2b8c90"


class JobLinks(ResponseModel):
    """A job's other resources."""

    self: str = Field(examples=[f"{PATH}/{EXAMPLE_ID}"])
    events: str
    cancel: str
    result: str
    run: str | None = Field(description="The run in Dagster's UI, where there is one.")


class DeadlinesModel(ResponseModel):
    """How many seconds a job may spend in each live state."""

    queue_s: float
    start_s: float
    lease_s: float
    run_s: float
    cancel_s: float


class LateOutcomeModel(ResponseModel):
    """An attempt's outcome that arrived after the job had ended, and contradicts its final state."""

    attempt: int
    state: JobState
    code: str | None
    at: datetime


class JobModel(ResponseModel):
    """A job's current state. Timestamps are null until they are known."""

    id: str = Field(examples=[EXAMPLE_ID])
    kind: str = Field(examples=["refresh_sales_summary"])
    tenant: str
    subject: str = Field(description="Who submitted it.")
    params: dict[str, Any]
    state: JobState
    is_ended: bool = Field(description="Whether the state is final.")
    code: FailureCode | None = Field(description="Why it, or its last attempt, failed.")
    message: str | None = Field(description="What it is doing, or what went wrong.")
    attempt: int = Field(description="1 for the first; increases with each retry.")
    max_attempts: int
    seq: int = Field(
        description="Increases with every event; the id of the stream's events, and part of the entity tag."
    )
    percent: float | None
    step: str | None
    counts: dict[str, float] = Field(description="Counters, by name.")
    priority: int
    created_at: datetime
    available_at: datetime = Field(description="Earliest start.")
    claimed_until_at: datetime | None
    dispatched_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    heartbeat_at: datetime | None = Field(description="The last heartbeat of its run.")
    deadline_at: datetime | None = Field(description="The deadline of the current state.")
    run_id: str | None = Field(description="Dagster's run of the job.")
    result: dict[str, Any] | None
    waiting_for: str | None = Field(description="Why it has not started yet, where something blocks it.")
    late_outcome: LateOutcomeModel | None
    joined: int = Field(description="Requests that joined this job instead of creating one.")
    retry_delay_s: float
    deadlines: DeadlinesModel
    coalesce_key: str | None = Field(description="Requests with the same key join the job until it starts.")
    links: JobLinks


class JobPageModel(ResponseModel):
    """Jobs, newest first."""

    jobs: list[JobModel]
    next: str | None = Field(description="`before` of the next page; null on the last page.")


class KindModel(ResponseModel):
    """A kind of job that the caller may submit."""

    kind: str = Field(examples=["refresh_sales_summary"])
    description: str
    coalesces: bool = Field(description="Whether a request joins an equal queued job by default.")
    max_attempts: int
    params_schema: dict[str, Any] = Field(description="JSON Schema of `params`.")


class KindsModel(ResponseModel):
    """The kinds that the caller may submit."""

    kinds: list[KindModel]


class FileModel(ResponseModel):
    """A file that a job has written."""

    name: str = Field(examples=["sales-report.csv"])
    bytes: int
    format: str
    url: str = Field(description="Needs no credential until `url_expires_at`; request the result again for another.")
    url_expires_at: datetime
    expires_at: datetime = Field(description="When the file is deleted.")


class ResultModel(ResponseModel):
    """A job's result."""

    job_id: str
    result: dict[str, Any] | None
    file: FileModel | None


class HookModel(ResponseModel):
    """The outcome of a delivery."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    outcome: Literal["created", "replayed", "joined"]


def job_document(job: Job, settings: Settings) -> dict[str, Any]:
    """Return a job's document."""
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
    """Return an entity tag that changes with every event of the job, and with what it waits for."""
    waiting = hashlib.blake2b(job.waiting_for.encode(), digest_size=4).hexdigest() if job.waiting_for else ""
    return f'W/"{job.seq}{"-" if waiting else ""}{waiting}"'


def kinds_document(kinds: Iterable[JobKind]) -> dict[str, Any]:
    """Return the document of kinds, with the schemas of their parameters."""
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
