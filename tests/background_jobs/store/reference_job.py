"""One job of the reference store."""

from dataclasses import dataclass, field

from background_jobs.store import ENDED, Submission


@dataclass
class ReferenceJob:
    """The fields of a job's document, and the hidden ones that decide about it."""

    id: str
    submission: Submission
    number: int
    priority: int
    created_ms: int
    available_ms: int
    queued_ms: int = 0
    state: str = ""
    attempt: int = 1
    seq: int = 0
    joined: int = 0
    code: str | None = None
    message: str | None = None
    percent: float | None = None
    step: str | None = None
    result: dict | None = None
    claimed_until_ms: int | None = None
    dispatched_ms: int | None = None
    started_ms: int | None = None
    heartbeat_ms: int | None = None
    canceling_ms: int | None = None
    ended_ms: int | None = None
    deadline_ms: int | None = None
    run_id: str | None = None
    waiting_for: str | None = None
    late: tuple | None = None
    is_ready: bool = False
    events: list = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.state not in ENDED

    @property
    def is_flying(self) -> bool:
        return self.state in {"dispatched", "running", "canceling"} or self.claimed_until_ms is not None

    @property
    def slot(self) -> tuple | None:
        of = self.submission
        return None if of.coalesce_key is None else (of.tenant, of.kind, of.coalesce_key)

    def document(self) -> dict:
        """What `Job` must agree with."""
        names = (
            "id", "priority", "created_ms", "available_ms", "state", "attempt", "seq", "joined", "code", "message", "percent",
            "step", "result", "claimed_until_ms", "dispatched_ms", "started_ms", "heartbeat_ms", "ended_ms", "deadline_ms",
            "run_id", "waiting_for",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
