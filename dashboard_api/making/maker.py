"""What makes answers, wherever it runs."""

from datetime import datetime
from typing import NamedTuple, Protocol

from dashboard_api.answers import Answer
from dashboard_api.filters import Filter, Format
from dbconnect import RouterState


class Wanted(NamedTuple):
    """One answer.

    Attributes:
        tenant_key: whose; the verified caller's.
        report: its name.
        asked: the report's own kind of filter.
        answer_format: how it is written.
        version: when the tenant's figures last changed, as far as is known; the answer is at least as new.
    """

    tenant_key: int
    report: str
    asked: Filter
    answer_format: Format
    version: datetime


class Made(NamedTuple):
    """What came of it.

    Attributes:
        answer: finished.
        is_read: whether the database was asked; else it was made of what another report over the same dates had read.
        seconds: how long it took, waiting for a turn included.
    """

    answer: Answer
    is_read: bool
    seconds: float


class MakerState(NamedTuple):
    """How a maker does.

    Attributes:
        waiting: questions that wait for their turn to be read.
        router: of the router that it does not share with whoever asks it; None: it has none of its own.
    """

    waiting: int
    router: RouterState | None


class Maker(Protocol):
    """Makes answers."""

    async def open(self) -> None:
        """Get ready; call it once the router is open."""

    async def close(self) -> None:
        """End what it began."""

    async def make(self, wanted: Wanted) -> Made:
        """Make one.

        Raises:
            ProblemError: what was asked can't be answered.
            SalespulseError: no server is to be had.
            psycopg.Error: a server failed, or took too long.
        """

    def state(self) -> MakerState:
        """Describe it."""
