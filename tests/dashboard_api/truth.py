"""What the reports should say, by adding up `tests.expected_rollups`: plain SQL over the application's tables, then plain Python."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from tests.dashboard_api.conftest import Shop
from tests.expected_rollups import COLUMNS, Rollup, expected_rollups

ZERO = Decimal(0)


@dataclass(frozen=True)
class Question:
    """Whose figures, over which dates and stores."""

    tenant: str
    first: date
    last: date
    stores: tuple[str, ...] = ()

    @property
    def previous(self) -> "Question":
        days = (self.last - self.first).days + 1
        return Question(self.tenant, self.first - timedelta(days), self.first - timedelta(1), self.stores)

    def parameters(self) -> dict[str, Any]:
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "store": list(self.stores)}


class Truth:
    """Sums of the naive rollups."""

    def __init__(self, shop: Shop) -> None:
        with shop.installation.admin() as connection:
            self._rollups: dict[str, Rollup] = expected_rollups(connection)

    def rows(self, name: str, asked: Question) -> list[dict[str, Any]]:
        keys, measures = COLUMNS[name]
        found = [dict(zip(keys + measures, key + value, strict=True)) for key, value in self._rollups[name].items()]
        return [
            row
            for row in found
            if row["tenant_id"] == asked.tenant
            and asked.first <= row["business_date"] <= asked.last
            and (not asked.stores or row["store_id"] in asked.stores)
        ]

    def sums(self, name: str, asked: Question, by: Callable[[dict[str, Any]], Any]) -> dict[Any, dict[str, Any]]:
        """Every measure, summed by a key."""
        _, measures = COLUMNS[name]
        sums: dict[Any, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(measures, ZERO))
        for row in self.rows(name, asked):
            for measure in measures:
                sums[by(row)][measure] += row[measure]
        return dict(sums)
