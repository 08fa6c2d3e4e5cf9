"""What is said of an answer that was made a while ago."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dashboard_api import data_version
from dashboard_api.data_version import FULL_READ_EVERY_S, DataVersionMonitor
from dashboard_api.filters import Format
from dashboard_api.rendered_report import RenderedReport
from dbconnect import ReadRouter, Settings
from tests.dashboard_api.conftest import Shop

HOUR = timedelta(hours=1)


class Monitors:
    """Two watches of the shop, which differ in what is stale, on a clock that a test may put forward."""

    def __init__(self, router: ReadRouter, shop: Shop) -> None:
        self.ahead = timedelta()
        self.shop = shop
        self.tenant = shop.tenants[1]
        ((self.tenant_key,),) = shop.query(
            "SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = %s", self.tenant
        )
        self.patient = DataVersionMonitor(router, stale_after_s=36_000, clock=self.clock)
        self.strict = DataVersionMonitor(router, stale_after_s=0, clock=self.clock)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def poll(self) -> tuple[datetime, datetime]:
        """Give the tenant's version, and the moment up to which that is right."""
        for monitor in (self.patient, self.strict):
            await monitor.poll()
        assert self.patient.freshness is not None
        return self.patient.version(self.tenant_key), self.patient.freshness.as_of

    async def sell(self) -> tuple[datetime, datetime]:
        self.shop.sell(self.tenant, f"watched-{uuid4()}")
        self.shop.refresh()
        return await self.poll()

    def freshness_of(self, answer: RenderedReport) -> tuple[datetime, bool]:
        """Of which moment both say that the answer is, and whether only the strict one says that it is stale."""
        results = [monitor.freshness_of(answer, self.tenant_key) for monitor in (self.patient, self.strict)]
        assert results[0].as_of == results[1].as_of
        assert not results[0].is_stale
        return results[0].as_of, results[1].is_stale


@pytest.fixture
async def monitors(shop: Shop, api_settings: Callable[..., Settings]) -> AsyncIterator[Monitors]:
    async with ReadRouter(api_settings()) as router:
        yield Monitors(router, shop)


def report_of(changed_at: datetime, as_of: datetime) -> RenderedReport:
    return RenderedReport("x", b"{}", Format.JSON, as_of=as_of, changed_at=changed_at)


async def test_an_answer_is_of_the_last_moment_at_which_it_was_seen_to_be_right(monitors: Monitors) -> None:
    states = [await monitors.poll()]
    first = report_of(states[0][0], states[0][1] - HOUR)
    assert monitors.freshness_of(first) == (states[0][1], False), "nothing has changed since"
    states += [await monitors.sell() for _ in range(3)]
    assert monitors.freshness_of(first) == (states[0][1], True)
    for version, right_until in states[1:-1]:
        assert monitors.freshness_of(report_of(version, states[0][1])) == (right_until, True)
    assert monitors.freshness_of(report_of(states[-1][0], states[0][1])) == (states[-1][1], False)
    assert monitors.freshness_of(report_of(states[0][0] - HOUR, states[0][1] - HOUR)) == (states[0][1] - HOUR, True)


async def test_old_versions_are_forgotten(monitors: Monitors, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [await monitors.poll(), await monitors.sell(), await monitors.sell()]
    first = report_of(states[0][0], states[0][1] - HOUR)
    monitors.ahead += timedelta(seconds=FULL_READ_EVERY_S + 1)
    await monitors.poll()
    assert monitors.freshness_of(first)[0] == states[0][1]
    monkeypatch.setattr(data_version, "_KEEP_SUPERSEDED", timedelta())
    monitors.ahead += timedelta(seconds=FULL_READ_EVERY_S + 1)
    await monitors.poll()
    assert monitors.freshness_of(first)[0] == states[0][1] - HOUR
