"""Reports over the same dates are made of one reading, as long as it is of the state that is asked for."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from dashboard_api.filters import Filter, TrendFilter
from dashboard_api.making import LocalMaker
from dashboard_api.period import Period
from dashboard_api.readings import READING_KEEP_S, Readings
from dashboard_api.reports import HEATMAP, PAYMENTS, SALES_SUMMARY, TREND, Figures, Part, Report
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.serving import Api, token_for

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
        self.readings = Readings(1_000_000, clock=lambda: self.now)

    async def get(
        self, report: Report[Any], asked: Filter = JUNE, *, tenant_key: int = 1, known: datetime = T0
    ) -> Figures:
        async def read(kept: Figures | None, also: Sequence[Part]) -> Figures:
            found = figures(self.version, tenant_key)
            if kept is not None and kept.identity == found.identity:
                found.texts.update(kept.texts)
            wanted = [part for part in (*report.parts(found.period, asked), *also) if part not in found.texts]
            await asyncio.sleep(0)
            found.texts.update((part, f'"{self.version}"') for part in wanted)
            self.read.append({part.name for part in wanted})
            return found

        return await self.readings.get(tenant_key, known, report, asked, read)


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
    await store.get(PAYMENTS, known=T1)
    assert store.read == [{"payments"}, {"payments"}]


async def test_after_a_change_what_others_will_ask_for_is_read_along(store: Store) -> None:
    """What nobody asked for between two changes is not."""
    await store.get(PAYMENTS)
    await store.get(HEATMAP)
    for number, asked in enumerate(([PAYMENTS, HEATMAP], [PAYMENTS], [PAYMENTS], [HEATMAP]), start=1):
        store.version = T0 + timedelta(seconds=number)
        for report in asked:
            found = await store.get(report, known=store.version)
            assert set(found.texts.values()) == {f'"{store.version}"'}
    assert store.read[2:] == [{"payments", "cells"}, {"payments", "cells"}, {"payments"}, {"payments", "cells"}]


async def test_figures_of_two_states_never_stand_together(store: Store) -> None:
    """The change is not known here yet, but the server that answers shows it."""
    await store.get(PAYMENTS)
    store.version = T1
    await store.get(HEATMAP)
    found = await store.get(PAYMENTS)
    assert set(found.texts.values()) == {f'"{T1}"'}
    assert store.read == [{"payments"}, {"cells"}, {"payments"}]


async def test_tenants_dates_and_stores_are_apart(store: Store) -> None:
    for asked, tenant_key in (
        (JUNE, 1),
        (JUNE, 2),
        (Filter(from_date=JUNE.from_date), 1),
        (Filter(from_date=JUNE.from_date, to_date=DAY, store=("one",)), 1),
    ):
        assert (await store.get(PAYMENTS, asked, tenant_key=tenant_key)).tenant_key == tenant_key
    assert len(store.read) == 4


async def test_figures_are_read_anew_after_a_while(store: Store) -> None:
    """What no version tells has to show; reading another part does not put that off."""
    await store.get(PAYMENTS)
    store.now = READING_KEEP_S - 1
    await store.get(HEATMAP)
    store.now = READING_KEEP_S + 1
    await store.get(PAYMENTS)
    assert store.read == [{"payments"}, {"cells"}, {"payments", "cells"}]


async def test_memory_is_bounded_and_the_least_used_go_first() -> None:
    store = Store()
    store.readings = Readings(3 * figures().size_bytes + 500)
    for tenant_key in (1, 2, 3, 1, 4):
        await store.get(PAYMENTS, tenant_key=tenant_key)
        assert store.readings.size_bytes <= 3 * figures().size_bytes + 500
    assert len(store.read) == 4
    for tenant_key, reads in ((1, 4), (2, 5)):
        await store.get(PAYMENTS, tenant_key=tenant_key)
        assert len(store.read) == reads


async def test_nothing_is_kept_without_memory(store: Store) -> None:
    store.readings = Readings(0)
    for _ in range(2):
        await store.get(PAYMENTS)
    assert store.read == [{"payments"}, {"payments"}]
    assert store.readings.size_bytes == 0


async def test_after_the_overview_the_other_reports_ask_the_database_nothing(
    api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a busy machine takes.
    maker = api.services.maker
    assert isinstance(maker, LocalMaker)
    monkeypatch.setattr(maker.readings, "_clock", lambda: 0.0)
    others = ("sales-summary", "trend", "top-products", "product-groups", "payments", "heatmap", "stores")

    def reads() -> list[float]:
        return [api.metric("salespulse_report_reads_total", report=report) for report in others]

    params, before = {"from": "2025-04-03", "to": "2025-05-27"}, reads()
    headers = {"Authorization": f"Bearer {token_for(shop.tenants[1])}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as client:
        overview = (await client.get("/api/dashboard/overview", params=params)).json()
        made = {report: (await client.get(f"/api/dashboard/{report}", params=params)).json() for report in others}
    assert [made["sales-summary"]["totals"], made["trend"]["points"]] == [overview["totals"], overview["points"]]
    assert reads() == before
