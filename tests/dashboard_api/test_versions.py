"""What is said of an answer that was made a while ago."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dashboard_api import versions
from dashboard_api.answers import Answer
from dashboard_api.filters import Format
from dashboard_api.versions import REREAD_S, VersionWatch
from dbconnect import ReadRouter, Settings
from tests.dashboard_api.conftest import Shop

HOUR = timedelta(hours=1)


class Watches:
    """Two watches of the shop, which differ in what is stale, on a clock that a test may put forward."""

    def __init__(self, router: ReadRouter, shop: Shop) -> None:
        self.ahead = timedelta()
        self.shop = shop
        self.tenant = shop.tenants[1]
        ((self.tenant_key,),) = shop.query(
            "SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = %s", self.tenant
        )
        self.patient = VersionWatch(router, stale_after_s=36_000, clock=self.clock)
        self.strict = VersionWatch(router, stale_after_s=0, clock=self.clock)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def look(self) -> tuple[datetime, datetime]:
        """Give the tenant's version, and the moment up to which that is right."""
        for watch in (self.patient, self.strict):
            await watch.look()
        assert self.patient.freshness is not None
        return self.patient.version(self.tenant_key), self.patient.freshness.as_of

    async def sell(self) -> tuple[datetime, datetime]:
        self.shop.sell(self.tenant, f"watched-{uuid4()}")
        self.shop.refresh()
        return await self.look()

    def said(self, answer: Answer) -> tuple[datetime, bool]:
        """Of which moment both say that the answer is, and whether only the strict one says that it is stale."""
        found = [watch.freshness_of(answer, self.tenant_key) for watch in (self.patient, self.strict)]
        assert found[0].as_of == found[1].as_of
        assert not found[0].is_stale
        return found[0].as_of, found[1].is_stale


@pytest.fixture
async def watches(shop: Shop, api_settings: Callable[..., Settings]) -> AsyncIterator[Watches]:
    async with ReadRouter(api_settings()) as router:
        yield Watches(router, shop)


def made(changed_at: datetime, as_of: datetime) -> Answer:
    return Answer("x", b"{}", Format.JSON, as_of=as_of, changed_at=changed_at)


async def test_an_answer_is_of_the_last_moment_at_which_it_was_seen_to_be_right(watches: Watches) -> None:
    states = [await watches.look()]
    first = made(states[0][0], states[0][1] - HOUR)
    assert watches.said(first) == (states[0][1], False), "nothing has changed since"
    states += [await watches.sell() for _ in range(3)]
    assert watches.said(first) == (states[0][1], True)
    for version, right_until in states[1:-1]:
        assert watches.said(made(version, states[0][1])) == (right_until, True)
    assert watches.said(made(states[-1][0], states[0][1])) == (states[-1][1], False)
    assert watches.said(made(states[0][0] - HOUR, states[0][1] - HOUR)) == (states[0][1] - HOUR, True)


async def test_old_versions_are_forgotten(watches: Watches, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [await watches.look(), await watches.sell(), await watches.sell()]
    first = made(states[0][0], states[0][1] - HOUR)
    watches.ahead += timedelta(seconds=REREAD_S + 1)
    await watches.look()
    assert watches.said(first)[0] == states[0][1]
    monkeypatch.setattr(versions, "_REMEMBERED", timedelta())
    watches.ahead += timedelta(seconds=REREAD_S + 1)
    await watches.look()
    assert watches.said(first)[0] == states[0][1] - HOUR
