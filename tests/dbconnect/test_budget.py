"""The sum of the pools against what a server takes."""

import pytest

from dbconnect import ReadRouter
from dbconnect.connection_budget import check_connection_budget
from dbconnect.errors import ConnectionBudgetError
from tests.dbconnect.conftest import PIPELINE, READER, Place, RunningPooler


def test_pools_that_fit_are_listed_by_server(place: Place) -> None:
    settings = place.settings(
        primary_url=place.url(PIPELINE, place.pair.primary),
        replica_url=place.url(READER, place.pair.standby),
        pipeline_connections=6,
    )
    budgets = {budget.server.split()[0]: budget for budget in check_connection_budget(settings)}
    assert budgets.keys() == {str(place.pair.primary.port), str(place.pair.standby.port)}
    standby = budgets[str(place.pair.standby.port)]
    # PostgreSQL reserves three of its fifty.
    assert (standby.max_connections, standby.allowed) == (47, 37)
    assert dict(standby.demands) == {"administrators": 3, "watchers": 1, "dashboard_read": 4, "pipeline_read": 6}
    primary = budgets[str(place.pair.primary.port)]
    assert primary.total == 3 + 1 + 2 + 6 + 6  # the warehouse is the primary: both write routes


async def test_a_router_whose_pools_do_not_fit_refuses_to_start(place: Place) -> None:
    settings = place.settings(dashboard_pool_size=17, dashboard_processes=2)
    with pytest.raises(
        ConnectionBudgetError, match=r"takes 47 connections.*\(37\).*come to 39.*watchers 2, dashboard_read 34"
    ):
        await ReadRouter(settings).open()


def test_a_pooler_bounds_what_a_route_opens(place: Place, pooler: RunningPooler) -> None:
    large = {"dashboard_url": pooler.url("dashboard"), "dashboard_pool_size": 200}
    with pytest.raises(ConnectionBudgetError):
        check_connection_budget(place.settings(**large))
    budgets = check_connection_budget(place.settings(**large, pooler_pool_size=10))
    assert ("dashboard_read", 10) in [demand for budget in budgets for demand in budget.demands]


def test_a_server_that_is_away_is_left_out(place: Place) -> None:
    away = "postgresql://nobody:secret@127.0.0.1:1/none"
    budgets = check_connection_budget(place.settings(dashboard_url=away))
    assert [budget.server.split()[0] for budget in budgets] == [str(place.pair.primary.port)]
