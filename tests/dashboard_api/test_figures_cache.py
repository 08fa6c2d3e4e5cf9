"""Reports over the same dates are made of one reading, as long as it is of the state that is asked for."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from dashboard_api.filters import Filter, TrendFilter
from dashboard_api.period import Period
from dashboard_api.reports import HEATMAP, PAYMENTS, SALES_SUMMARY, TREND, Figures, Part, Report
from dashboard_api.reports.figures_cache import FIGURES_KEEP_S, FiguresCache
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, token_for

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(seconds=1)
DAY = date(2025, 6, 30)
JUNE = Filter(from_date=date(2025, 6, 1), to_date=DAY)


def figures(changed_at: datetime = T0, tenant_key: int = 1) -> Figures:
    return Figures(tenant_key, Period(date(2025, 6, 1), DAY), None, DAY, DAY, DAY, T0, changed_at)


class Store:
    """Reads as a database would whose tenant has this version, and says which parts were read in each transaction."""

    def __init__(self) -> None:
        self.now = 0.0
        self.version = T0
        self.read: list[set[str]] = []
        self.cache = FiguresCache(1_000_000, clock=lambda: self.now)

    async def get(
        self, report: Report[Any], filters: Filter = JUNE, *, tenant_key: int = 1, version: datetime = T0
    ) -> Figures:
        async def read(previous: Figures | None, other_parts: Sequence[Part]) -> Figures:
            result = figures(self.version, tenant_key)
            if previous is not None and previous.state_key == result.state_key:
                result.texts.update(previous.texts)
            missing = [
                part for part in (*report.parts(result.period, filters), *other_parts) if part not in result.texts
            ]
            await asyncio.sleep(0)
            result.texts.update((part, f'"{self.version}"') for part in missing)
            self.read.append({part.name for part in missing})
            return result

        return await self.cache.get(tenant_key, version, report, filters, read)


@pytest.fixture
def store() -> Store:
    return Store()


async def test_what_another_report_read_is_not_read_again(store: Store) -> None:
    await store.get(SALES_SUMMARY)
    await store.get(TREND, TrendFilter(from_date=JUNE.from_date, to_date=JUNE.to_date))
    await store.get(PAYMENTS)
    assert store.read == [{"sums", "customer_counts"}, {"payments"}]


async def test_two_reports_at_once_read_what_both_need_once(store: Store) -> None:
    await asyncio.gather(*(store.get(report) for report in (SALES_SUMMARY, SALES_SUMMARY, PAYMENTS, PAYMENTS)))
    assert store.read == [{"sums", "customer_counts"}, {"payments"}]


async def test_a_change_makes_figures_old(store: Store) -> None:
    await store.get(PAYMENTS)
    store.version = T1
    await store.get(PAYMENTS, version=T1)
    assert store.read == [{"payments"}, {"payments"}]


async def test_after_a_change_what_others_will_ask_for_is_read_along(store: Store) -> None:
    """What nobody asked for between two changes is not."""
    await store.get(PAYMENTS)
    await store.get(HEATMAP)
    for number, filters in enumerate(([PAYMENTS, HEATMAP], [PAYMENTS], [PAYMENTS], [HEATMAP]), start=1):
        store.version = T0 + timedelta(seconds=number)
        for report in filters:
            result = await store.get(report, version=store.version)
            assert set(result.texts.values()) == {f'"{store.version}"'}
    assert store.read[2:] == [{"payments", "cells"}, {"payments", "cells"}, {"payments"}, {"payments", "cells"}]


async def test_figures_of_two_states_never_stand_together(store: Store) -> None:
    """The change is not known here yet, but the server that answers shows it."""
    await store.get(PAYMENTS)
    store.version = T1
    await store.get(HEATMAP)
    result = await store.get(PAYMENTS)
    assert set(result.texts.values()) == {f'"{T1}"'}
    assert store.read == [{"payments"}, {"cells"}, {"payments"}]


async def test_tenants_dates_and_stores_are_apart(store: Store) -> None:
    for filters, tenant_key in (
        (JUNE, 1),
        (JUNE, 2),
        (Filter(from_date=JUNE.from_date), 1),
        (Filter(from_date=JUNE.from_date, to_date=DAY, store=("one",)), 1),
    ):
        assert (await store.get(PAYMENTS, filters, tenant_key=tenant_key)).tenant_key == tenant_key
    assert len(store.read) == 4


async def test_figures_are_read_anew_after_a_while(store: Store) -> None:
    """What no version tells has to show; reading another part does not put that off."""
    await store.get(PAYMENTS)
    store.now = FIGURES_KEEP_S - 1
    await store.get(HEATMAP)
    store.now = FIGURES_KEEP_S + 1
    await store.get(PAYMENTS)
    assert store.read == [{"payments"}, {"cells"}, {"payments", "cells"}]


async def test_memory_is_bounded_and_the_least_used_go_first() -> None:
    store = Store()
    store.cache = FiguresCache(3 * figures().size_bytes + 500)
    for tenant_key in (1, 2, 3, 1, 4):
        await store.get(PAYMENTS, tenant_key=tenant_key)
        assert store.cache.size_bytes <= 3 * figures().size_bytes + 500
    assert len(store.read) == 4
    for tenant_key, reads in ((1, 4), (2, 5)):
        await store.get(PAYMENTS, tenant_key=tenant_key)
        assert len(store.read) == reads


async def test_nothing_is_kept_without_memory(store: Store) -> None:
    store.cache = FiguresCache(0)
    for _ in range(2):
        await store.get(PAYMENTS)
    assert store.read == [{"payments"}, {"payments"}]
    assert store.cache.size_bytes == 0


async def test_after_the_overview_the_other_reports_ask_the_database_nothing(
    api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a busy machine takes.
    builder = api.services.builder
    monkeypatch.setattr(builder.figures, "_clock", lambda: 0.0)
    others = ("sales-summary", "trend", "top-products", "product-groups", "payments", "heatmap", "stores")

    def reads() -> list[float]:
        return [api.metric("salespulse_report_reads_total", report=report) for report in others]

    params, before = {"from": "2025-04-03", "to": "2025-05-27"}, reads()
    headers = {"Authorization": f"Bearer {token_for(shop.tenants[1])}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as client:
        overview = (await client.get("/api/dashboard/overview", params=params)).json()
        documents = {report: (await client.get(f"/api/dashboard/{report}", params=params)).json() for report in others}
    assert [documents["sales-summary"]["totals"], documents["trend"]["points"]] == [
        overview["totals"],
        overview["points"],
    ]
    assert reads() == before
