"""Reading through the async router while everything is well."""

from typing import Any

import psycopg
import pytest

from dbconnect import ReadRouter, Statement, commit_token
from tests.dbconnect.conftest import Heart, Place


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


def tenant() -> Statement:
    return Statement("SELECT salespulse.current_tenant_key() AS tenant, %(text)s::text AS text", {"text": "a"})


async def test_statements_see_one_snapshot_of_one_tenant(place: Place, heart: Heart) -> None:
    snapshot = Statement("SELECT pg_current_snapshot()::text AS snapshot, pg_is_in_recovery() AS is_standby")
    async with ReadRouter(place.settings()) as router:
        first, second, third = await router.ask([snapshot, tenant(), snapshot], tenant_key=7)
        assert first == third
        assert first[0]["is_standby"]
        assert second == [{"tenant": 7, "text": "a"}]
        ((without,),) = await router.ask([tenant()])
        assert without["tenant"] is None
        assert router.state().reads["fresh"] == 2
        assert router.state().pools["replica"].in_use == 0


async def test_statements_are_read_only_and_end_with_their_transaction(place: Place, heart: Heart) -> None:
    writing = Statement("CREATE TEMPORARY TABLE t (i integer)")
    async with ReadRouter(place.settings(dashboard_pool_size=1)) as router:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await router.ask([writing])
        await router.ask([tenant()], tenant_key=7)
        async with router.read_only() as read:
            assert await value(read, "SELECT salespulse.current_tenant_key()") is None
            assert await value(read, "SELECT pg_current_xact_id_if_assigned() IS NULL")


@pytest.mark.parametrize(
    "text",
    ["'; DROP TABLE salespulse.dim_tenant; --", "\\'; SELECT 1; --", "%(text)s", "%s", "a\nb", "é\u2028'", "$$"],
)
async def test_parameters_come_back_as_they_are(place: Place, heart: Heart, text: str) -> None:
    statement = Statement(
        "SELECT %(text)s::text AS text, %(several)s::text[] AS several", {"text": text, "several": [text, text]}
    )
    async with ReadRouter(place.settings()) as router:
        assert await router.ask([statement]) == [[{"text": text, "several": [text, text]}]]


async def test_a_statement_that_takes_too_long_is_an_error_and_no_other_server_is_tried(
    place: Place, heart: Heart
) -> None:
    slow = Statement("SELECT pg_sleep(5)")
    async with ReadRouter(place.settings(dashboard_statement_timeout_seconds=0.2)) as router:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await router.ask([tenant(), slow])
        assert router.state().reads["fallback"] == 0
        assert router.state().pools["replica"].in_use == 0
        await router.ask([tenant()])


async def test_a_read_after_a_commit_shows_it(place: Place, heart: Heart) -> None:
    """The position is looked at in a transaction of its own, whose rows are not taken for the statement's."""
    with place.admin() as admin:
        admin.execute("CREATE TABLE public.committed_note (i integer)")
        admin.execute("GRANT SELECT ON public.committed_note TO salespulse_dashboard")
    counted = Statement("SELECT count(*) AS notes FROM public.committed_note")
    async with ReadRouter(place.settings()) as router:
        for number in range(1, 4):
            with place.admin() as admin:
                admin.execute("INSERT INTO public.committed_note VALUES (1)")
                admin.commit()
                token = commit_token(admin)
            assert await router.ask([counted], token=token) == [[{"notes": number}]]


async def test_work_is_done_once_more_when_its_server_breaks_off(place: Place, heart: Heart) -> None:
    tries = []

    async def work(read: Any) -> int:
        tries.append(read.server)
        if len(tries) == 1:
            with place.admin(place.pair.standby) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (read.connection.info.backend_pid,))
        await read.connection.execute("SELECT 1")
        return len(tries)

    async with ReadRouter(place.settings()) as router:
        assert await router.run(work) == 2


async def test_its_own_timeout_is_not_tried_again(place: Place, heart: Heart) -> None:
    tries = []

    async def work(read: Any) -> None:
        tries.append(1)
        await read.connection.execute("SELECT pg_sleep(5)")

    async with ReadRouter(place.settings(dashboard_statement_timeout_seconds=0.1)) as router:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await router.run(work)
    assert len(tries) == 1
