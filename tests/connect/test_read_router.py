"""Reading through the async router while everything is well."""

from typing import Any

import psycopg
import pytest

from connect import ReadRouter
from tests.connect.conftest import Heart, Place


async def value(read: Any, statement: str) -> Any:
    row = await (await read.connection.execute(statement.encode())).fetchone()
    return next(iter(row.values()))


async def test_a_fresh_replica_answers(place: Place, heart: Heart) -> None:
    async with ReadRouter(place.settings()) as router, router.read_only(max_staleness_s=2.0) as read:
        assert read.server == "replica"
        assert await value(read, "SELECT pg_is_in_recovery()")
        assert await value(read, "SELECT current_setting('statement_timeout')") == "2s"
        assert read.staleness_s is not None
        assert read.staleness_s < 2
        assert not read.is_stale
        assert router.state().is_ready


async def test_the_transaction_is_read_only_and_carries_the_tenant(place: Place, heart: Heart) -> None:
    async with ReadRouter(place.settings()) as router:
        async with router.read_only(tenant_key=7) as read:
            assert await value(read, "SELECT salespulse.current_tenant_key()") == 7
        async with router.read_only() as read:
            assert await value(read, "SELECT salespulse.current_tenant_key()") is None
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await read.connection.execute("CREATE TEMPORARY TABLE t (i integer)")
        assert router.state().reads["fresh"] == 2
