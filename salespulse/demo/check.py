"""What `salespulse demo --check` holds the tables to."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dbconnect import Settings
from dbsql import query
from pipelines.refresh import connect_route
from sample_app.online_retail import TENANT_NAME

# Published totals of the data set (DESIGN: UCI Online Retail, doi 10.24432/C5BW33).
PUBLISHED = {"line_count": 541_909, "documents": 25_900, "net_amount": Decimal("9747747.934")}


@dataclass
class DemoFigures:
    """What the demonstration measured.

    Attributes:
        ready_s: seconds until every server was ready.
        load: counts of the Online Retail load.
        backfill: Dagster's first run: documents, lines, seconds until nothing was pending, lines a second.
        published: published totals beside the rollups'.
        traffic: committed operations by kind.
        refreshes: committed refreshes in all, the backfill's among them.
        verification: the full verification after the traffic.
        differences: totals that differ from SQL over the sales; empty when all is exact.
    """

    ready_s: float = 0.0
    load: dict[str, Any] = field(default_factory=dict)
    backfill: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Any] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)
    refreshes: int = 0
    verification: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether no total differs and the verification found nothing."""
        return not self.differences and bool(self.verification.get("is_exact"))


def totals_that_differ(settings: Settings, *, published: bool) -> tuple[dict[str, Any], list[str]]:
    """Compare totals by tenant: plain SQL over the application's tables against `daily_store_sales`.

    Args:
        settings: of the running stack, drained and with no traffic.
        published: also compare the Online Retail tenant with the data set's published totals (before live traffic
            touches it).

    Returns:
        The Online Retail tenant's totals, and a sentence for each difference.
    """
    with (
        connect_route(settings.url("application_url"), "application") as application,
        connect_route(settings.url("warehouse_url"), "warehouse") as warehouse,
    ):
        expected_rows = application.execute(query("demo.application_totals")).fetchall()
        rollup_rows = warehouse.execute(query("demo.rollup_totals")).fetchall()
    by_tenant = {row["tenant_id"]: row for row in rollup_rows}
    differences = [
        f"{row['name']}: {name} is {by_tenant.get(row['tenant_id'], {}).get(name)} instead of {value}"
        for row in expected_rows
        for name, value in row.items()
        if by_tenant.get(row["tenant_id"], {}).get(name) != value
    ]
    real = next((row for row in rollup_rows if row["name"] == TENANT_NAME), None)
    totals: dict[str, Any] = {}
    if real is not None:
        totals = {
            "line_count": real["line_count"],
            "documents": real["sale_count"] + real["return_count"],
            "net_amount": real["net_amount"],
        }
    if published:
        differences += [
            f"published {name}: {totals.get(name)} instead of {value}"
            for name, value in PUBLISHED.items()
            if totals.get(name) != value
        ]
    return totals, differences
