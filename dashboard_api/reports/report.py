"""What a report is: a name, and how its document is built from the rollups."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dashboard_api.filters import Filter
from dashboard_api.reports.reader import Reader

FilterT = TypeVar("FilterT", bound=Filter)


@dataclass(frozen=True)
class Report(Generic[FilterT]):
    """One kind of answer.

    Attributes:
        name: its path under `/api/dashboard/`.
        rows: the list within the document that CSV gives.
        columns: of that list, in order.
        build: reads, and gives the document: text, whole numbers, decimals and dates.
    """

    name: str
    rows: str
    columns: tuple[str, ...]
    build: Callable[[Reader, FilterT], Awaitable[dict[str, Any]]]
