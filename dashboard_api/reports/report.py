"""What a report is: a name, what it reads, and how its document is made of that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dashboard_api.filters import Filter
from dashboard_api.period import Period
from dashboard_api.reports.figures import Figures, Part

FilterT = TypeVar("FilterT", bound=Filter)


@dataclass(frozen=True)
class Report(Generic[FilterT]):
    """One kind of answer.

    Attributes:
        name: its path under `/api/dashboard/`.
        rows: the list within the document that CSV gives.
        columns: of that list, in order.
        parts: what it is made of; parts that several reports name are read once for all of them.
        build: gives the document: text, whole numbers, decimals (as text or not) and dates.
    """

    name: str
    rows: str
    columns: tuple[str, ...]
    parts: Callable[[Period, FilterT], tuple[Part, ...]]
    build: Callable[[Figures, FilterT], dict[str, Any]]
