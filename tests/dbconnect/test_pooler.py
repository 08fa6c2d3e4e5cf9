"""Through PgBouncer in transaction mode."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dbconnect import ReadRouter
from dbconnect.pgbouncer_probe import probe_prepared_statements
from tests.dbconnect.conftest import DASHBOARD, MAX_CONNECTIONS, TENANTS, Heart, Place, RunningPooler, run_pooler

pytestmark = pytest.mark.usefixtures("heart")
VISIBLE = "SELECT tenant_key FROM salespulse.dim_tenant"


def pooled_settings(place: Place, pooler: RunningPooler, **changes: object) -> object:
    return place.settings(
        **(
            {
                "dashboard_url": pooler.url("dashboard"),
                "dashboard_fallback_url": pooler.url("dashboard_fallback"),
                "dashboard_direct_url": place.url(DASHBOARD, place.pair.standby),
                "dashboard_fallback_direct_url": place.url(DASHBOARD, place.pair.primary),
                "dashboard_pool_size": 16,
            }
            | changes
        )
    )


async def test_many_tenants_at_once_see_no_foreign_row(place: Place, pooler: RunningPooler) -> None:
    seen = 0

    async def client(router: ReadRouter, first: int) -> None:
        nonlocal seen
        for round_number in range(20):
            key = (first * 7 + round_number * 13) % TENANTS + 1
            # Every fifth read belongs to nobody, and sees nothing of who read before on the same session.
            tenant = None if round_number % 5 == 4 else key
            async with router.read_only(tenant_key=tenant) as read:
                rows = await (await read.connection.execute(VISIBLE)).fetchall()
            assert rows == ([] if tenant is None else [{"tenant_key": key}])
            seen += 1

    async with ReadRouter(pooled_settings(place, pooler)) as router:
        await asyncio.gather(*(client(router, index) for index in range(100)))
        assert router.state().reads["fresh"] == seen == 2000


async def test_settings_do_not_leak_to_the_next_client(place: Place, pooler: RunningPooler) -> None:
    async with ReadRouter(pooled_settings(place, pooler)) as router:
        await asyncio.gather(*(_read_once(router, key) for key in range(1, 101)))
        left = await _settings_of_all_sessions(pooler)
    assert left == {("0", "", "off")}
    # That this way of looking would show a leak:
    async with await psycopg.AsyncConnection.connect(pooler.url("dashboard"), autocommit=True) as client:
        await client.execute("SET statement_timeout = 7000")
    assert ("7s", "", "off") in await _settings_of_all_sessions(pooler)
    async with await psycopg.AsyncConnection.connect(pooler.url("dashboard"), autocommit=True) as client:
        await client.execute("RESET statement_timeout")


async def _read_once(router: ReadRouter, key: int) -> None:
    async with router.read_only(tenant_key=key) as read:
        await read.connection.execute(VISIBLE)


async def _settings_of_all_sessions(pooler: RunningPooler) -> set[tuple[str, str, str]]:
    """What each of the pooler's sessions has, as those see it who hold all of them at once."""
    statement = """SELECT current_setting('statement_timeout'), coalesce(current_setting('salespulse.tenant_key', true), ''),
        current_setting('default_transaction_read_only')"""
    clients = [await psycopg.AsyncConnection.connect(pooler.url("dashboard")) for _ in range(10)]
    session_settings = set()
    for client in clients:
        session_settings.add(await (await client.execute(statement)).fetchone())
    for client in clients:
        await client.rollback()
        await client.close()
    return session_settings


async def test_a_thousand_clients_of_the_pooler_against_fifty_connections(place: Place, pooler: RunningPooler) -> None:
    """Each a client of PgBouncer of its own, all connected at once."""
    url = pooler.url("dashboard")
    gate = asyncio.Semaphore(50)  # logging in, not being connected
    clients: list[psycopg.AsyncConnection] = []

    async def log_in() -> None:
        async with gate:
            clients.append(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=None))

    async def read(client: psycopg.AsyncConnection, key: int) -> None:
        async with client.transaction():
            await client.execute("SELECT set_config('salespulse.tenant_key', %s, true)", (str(key),))
            assert await (await client.execute(VISIBLE)).fetchall() == [(key,)]

    await asyncio.gather(*(log_in() for _ in range(1000)))
    try:
        await asyncio.gather(*(read(client, index % TENANTS + 1) for index, client in enumerate(clients)))
        with place.admin(place.pair.standby) as admin:
            row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (DASHBOARD,)).fetchone()
        assert row is not None
        assert 0 < row[0] <= 10 < MAX_CONNECTIONS
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_a_thousand_readers_at_once_share_a_bounded_pool(place: Place, pooler: RunningPooler) -> None:
    async with ReadRouter(pooled_settings(place, pooler, dashboard_pool_wait_seconds=10.0)) as router:
        started_at = time.monotonic()
        await asyncio.gather(*(_read_once(router, index % TENANTS + 1) for index in range(1000)))
        state = router.state()
        assert state.reads["fresh"] == 1000, f"after {time.monotonic() - started_at:.1f} s: {state}"
        assert state.pools["replica"].size <= 16


def test_the_probe_shows_whether_preparing_is_safe(place: Place, pooler: RunningPooler) -> None:
    direct = probe_prepared_statements(place.url(DASHBOARD, place.pair.standby))
    assert (direct.is_pooled, direct.is_safe) == (False, True)
    pooled = probe_prepared_statements(pooler.url("dashboard"))
    assert pooled.is_pooled
    # 1.21 brought prepared statements, 1.24 switched them on.
    if pooler.version < (1, 21):
        assert not pooled.is_safe
        assert pooled.reason
    if pooler.version >= (1, 24):
        assert pooled.is_safe, pooled.reason


def test_the_probe_finds_preparing_safe_where_each_client_has_its_session(
    place: Place, server_directory: Callable[[str], Path]
) -> None:
    with run_pooler(place, server_directory("salespulse-session-pooler"), mode="session") as pooler:
        result = probe_prepared_statements(pooler.url("dashboard"))
    assert (result.is_pooled, result.is_safe, result.reason) == (True, True, "")


async def test_preparing_is_refused_where_the_probe_shows_a_fault(
    place: Place, pooler: RunningPooler, heart: Heart
) -> None:
    if pooler.version >= (1, 21):
        pytest.skip(f"PgBouncer {pooler.version} knows prepared statements")
    settings = pooled_settings(
        place,
        pooler,
        dashboard_prepare_statements=True,
        dashboard_fallback_url=place.url(DASHBOARD, place.pair.primary),
        dashboard_fallback_direct_url=None,
    )
    async with ReadRouter(settings) as router:
        preparing = router.state().preparing
        assert preparing["replica"].startswith("refused: ")
        assert preparing["primary"] == "on"
        await asyncio.gather(*(_read_once(router, key) for key in range(1, 101)))
        assert router.state().reads["fresh"] == 100
