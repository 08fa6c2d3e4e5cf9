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
class Selection:
    """Whose figures, over which dates and stores."""

    tenant: str
    first: date
    last: date
    stores: tuple[str, ...] = ()

    @property
    def previous(self) -> "Selection":
        days = (self.last - self.first).days + 1
        return Selection(self.tenant, self.first - timedelta(days), self.first - timedelta(1), self.stores)

    def parameters(self) -> dict[str, Any]:
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "store": list(self.stores)}


class ExpectedReports:
    """Sums of the naive rollups."""

    def __init__(self, shop: Shop) -> None:
        with shop.installation.admin() as connection:
            self._rollups: dict[str, Rollup] = expected_rollups(connection)

    def rows(self, name: str, selection: Selection) -> list[dict[str, Any]]:
        keys, measures = COLUMNS[name]
        rows = [dict(zip(keys + measures, key + value, strict=True)) for key, value in self._rollups[name].items()]
        return [
            row
            for row in rows
            if row["tenant_id"] == selection.tenant
            and selection.first <= row["business_date"] <= selection.last
            and (not selection.stores or row["store_id"] in selection.stores)
        ]

    def sums(self, name: str, selection: Selection, by: Callable[[dict[str, Any]], Any]) -> dict[Any, dict[str, Any]]:
        """Every measure, summed by a key."""
        _, measures = COLUMNS[name]
        sums: dict[Any, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(measures, ZERO))
        for row in self.rows(name, selection):
            for measure in measures:
                sums[by(row)][measure] += row[measure]
        return dict(sums)
