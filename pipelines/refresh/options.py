"""The options of a refresh, its result, and the clock of its phases."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from dbconnect import Settings
from pipelines.refresh.apply import ApplyCounts
from pipelines.source.mapping import SourceMapping, load_mapping


@dataclass(frozen=True)
class RefreshOptions:
    """The limits of a refresh, and which application it reads.

    Attributes:
        mapping: which application.
        batch_documents: sales and returns in one warehouse transaction at most.
        lock_wait_s: how long to wait for another refresh.
        statement_timeout_s: limit of one statement.
        keep_s: change-log rows stay this long after they were applied.
        prune_every_s: least time between two prunings of the log.
    """

    mapping: SourceMapping
    batch_documents: int = 10_000
    lock_wait_s: float = 30.0
    statement_timeout_s: float = 600.0
    keep_s: float = 3600.0
    prune_every_s: float = 60.0

    @classmethod
    def from_settings(cls, settings: Settings) -> "RefreshOptions":
        """Read the options from the settings."""
        return cls(
            mapping=load_mapping(settings.source),
            batch_documents=settings.refresh_batch_documents,
            lock_wait_s=settings.lock_wait_seconds,
            statement_timeout_s=settings.statement_timeout_seconds,
            keep_s=settings.change_log_keep_hours * 3600,
        )


@dataclass
class RefreshResult:
    """The counts and the new watermark of a refresh.

    Attributes:
        transactions: warehouse transactions committed.
        applied: documents, lines and rows written by table.
        dimension_rows: dimension rows written.
        pending_documents: still queued (0 when drained).
        is_drained: nothing visible was left.
        horizon: the new watermark (64-bit transaction id).
        applied_lsn: upper bound of what the facts reflect.
        timeline: of the history read.
        as_of: the facts reflect the sales at least up to this moment.
        reconciled: why history had to be reconciled; normally empty.
        pruned: change-log rows removed.
        seconds: phase to seconds.
    """

    transactions: int = 0
    applied: ApplyCounts = field(default_factory=ApplyCounts)
    dimension_rows: int = 0
    pending_documents: int = 0
    is_drained: bool = False
    horizon: int = 0
    applied_lsn: str = "0/0"
    timeline: int = 0
    as_of: datetime | None = None
    reconciled: tuple[str, ...] = ()
    pruned: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything was applied."""
        return self.applied.documents > 0 or self.dimension_rows > 0

    def as_document(self) -> dict[str, Any]:
        """Return everything as plain values, for `--json` and for metadata."""
        document = asdict(self)
        return {
            **document.pop("applied"),
            **document,
            "as_of": self.as_of.isoformat() if self.as_of else None,
            "reconciled": list(self.reconciled),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }


class Phases:
    """Adds up the seconds between marks, by the name of the step that ended, and passes the mark on."""

    def __init__(self, seconds: dict[str, float], at: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._at = at
        self._last = time.perf_counter()

    def __call__(self, step: str) -> None:
        """Mark the end of a step."""
        now = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - self._last
        self._at(step)
        self._last = time.perf_counter()
