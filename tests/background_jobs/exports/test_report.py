"""Exported reports on the real server pair: exact in every format, one tenant's rows, complete or absent."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import openpyxl
import pandas as pd
import pytest

from background_jobs.exports import ExportError, expire_exports, write_report
from background_jobs.exports.report import EXPORT_DAYS
from background_jobs.kinds.export_sales_report import ExportReport
from dbconnect.routes import Connection
from pipelines.refresh import RefreshResult
from sample_app.synthetic import generate
from tests.warehouse import Installation, one

LAST_DAY = date(2026, 3, 31)
FORMULA = '=HYPERLINK("http://example.com")'


@pytest.fixture
def dashboard(installation: Installation, refreshed: Callable[..., RefreshResult]) -> Connection:
    """The dashboard's role, on a warehouse with two tenants; a store's name looks like a formula."""
    generate(installation.admin(), tenants=2, sales=200, days=60, stores=2, products=20, last_day=LAST_DAY)
    refreshed()
    installation.admin().execute("UPDATE salespulse.dim_store SET name = %s", [FORMULA])
    return installation.route("salespulse_dashboard")


@pytest.fixture
def tenant(dashboard: Connection, installation: Installation) -> str:
    return str(one(installation.admin(), "SELECT min(tenant_id) FROM salespulse.dim_tenant"))


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_excel(path, dtype=str)


@pytest.mark.parametrize("file_format", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize("report", get_args(ExportReport))
def test_every_report_adds_up_in_every_format(
    dashboard: Connection, installation: Installation, tenant: str, tmp_path: Path, report: str, file_format: str
) -> None:
    path = tmp_path / "made" / f"report.{file_format}"
    reports: list[tuple[float, int]] = []
    written = write_report(
        dashboard, path, tenant_id=tenant, report=report, file_format=file_format,
        from_date=date(2026, 1, 1), to_date=LAST_DAY, progress=lambda percent, rows: reports.append((percent, rows)),
    )  # fmt: skip
    table = {"stores": "daily_store", "hours": "hourly_store"}.get(report, f"daily_{report.removesuffix('s')}")
    column = "payment_amount" if report == "payments" else "gross_amount"
    statement = (
        f"SELECT {{}} FROM salespulse.{table}_sales AS d JOIN salespulse.dim_tenant AS t USING (tenant_key) "
        f"WHERE t.tenant_id = %s AND d.business_date BETWEEN '2026-01-01' AND '2026-03-31'"
    )
    admin, frame = installation.admin(), read(path)
    assert len(frame) == written.rows == one(admin, statement.format("count(*)"), tenant) > 0
    assert sum(Decimal(value) for value in frame[column]) == one(admin, statement.format(f"sum({column})"), tenant)
    assert reports[-1][1] == written.rows
    assert written.size == path.stat().st_size
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_no_name_becomes_a_formula(dashboard: Connection, tenant: str, tmp_path: Path) -> None:
    for file_format in ("csv", "xlsx"):
        path = tmp_path / f"report.{file_format}"
        write_report(dashboard, path, tenant_id=tenant, report="stores", file_format=file_format)
    assert set(read(tmp_path / "report.csv")["store_name"]) == {f"'{FORMULA}"}
    sheet = openpyxl.load_workbook(tmp_path / "report.xlsx").active
    cell = sheet["C2"]
    assert (cell.value, cell.data_type) == (FORMULA, "s")


def test_the_recent_days_and_one_store(
    dashboard: Connection, installation: Installation, tenant: str, tmp_path: Path
) -> None:
    store = str(
        one(
            installation.admin(),
            "SELECT min(store_id) FROM salespulse.dim_store JOIN salespulse.dim_tenant USING (tenant_key) WHERE tenant_id = %s",
            tenant,
        )
    )
    path = tmp_path / "report.csv"
    written = write_report(dashboard, path, tenant_id=tenant, report="stores", file_format="csv", store_id=store)
    assert written.to_date - written.from_date == timedelta(days=EXPORT_DAYS - 1)
    assert set(read(path)["store_id"]) == {store}


@pytest.mark.parametrize(
    ("arguments", "message"), [({"tenant_id": "nobody"}, "no tenant"), ({"store_id": "no"}, "no store")]
)
def test_an_unknown_tenant_or_store_is_an_error(
    dashboard: Connection, tenant: str, tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        write_report(
            dashboard,
            tmp_path / "report.csv",
            **{"tenant_id": tenant, "report": "stores", "file_format": "csv", **arguments},
        )
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_no_file(dashboard: Connection, tenant: str, tmp_path: Path) -> None:
    def stop(percent: float, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(dashboard, tmp_path / "r.csv", tenant_id=tenant, report="stores", file_format="csv", progress=stop)
    assert list(tmp_path.iterdir()) == []
    # The connection is as it was.
    write_report(dashboard, tmp_path / "r.csv", tenant_id=tenant, report="stores", file_format="csv")


def test_old_exports_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    written_at = (tmp_path / "a.csv").stat().st_mtime
    assert expire_exports(tmp_path, keep_s=100, now_s=written_at + 99) == 0
    assert expire_exports(tmp_path, keep_s=100, now_s=written_at + 100) == 1
    assert expire_exports(tmp_path / "none", keep_s=1) == 0
