"""Several refreshers at once, and one that the operating system kills."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date

import pytest

from dbconnect import LockTimeoutError
from local_stack.waiting import wait_until
from pipelines.refresh import Connections, RefreshResult, enqueue_range, read_state, refresh
from pipelines.refresh.options import Phases
from pipelines.refresh.runner import no_hook, refresh_transaction
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import STORES, ZONES, World, return_half, seed, sell
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]

_STOP_AT = """
import os, sys
from pipelines.refresh import Connections, RefreshOptions, connect_route, refresh
from pipelines.source import load_mapping
replica, warehouse, step = (sys.stdin.readline().strip() for _ in range(3))
def at(name):
    if name == step:
        print("there", flush=True)
        sys.stdin.read()
connections = Connections(connect_route(replica, "replica"), connect_route(warehouse, "warehouse"))
refresh(connections, RefreshOptions(load_mapping("retail")), at=at)
"""


@pytest.fixture
def world(installation: Installation) -> World:
    world, session = World(), Session(installation)
    session.run(world, seed, 0, 0, 0)
    for number in range(8):
        session.run(world, sell, number, number + 1, number + 2)
        session.run(world, return_half, number, number, number)
    return world


def test_two_refreshers_at_once(installation: Installation, world: World, refreshed: Refreshed) -> None:
    session, done = Session(installation), threading.Event()
    results: list[RefreshResult] = []

    def keep_refreshing(connections: Connections, batch: int) -> None:
        while not done.is_set():
            results.append(refresh(connections, installation.options(batch_documents=batch)))

    threads = [
        threading.Thread(target=keep_refreshing, args=(installation.connections(), batch)) for batch in (2, 1000)
    ]
    for thread in threads:
        thread.start()
    for number in range(60):
        session.run(world, sell, number, number // 2, number)
        session.run(world, return_half, number, number, number)
    done.set()
    for thread in threads:
        thread.join()
    refreshed()
    assert installation.rollup_errors() == {}
    assert sum(result.applied.documents > 0 for result in results) > 1


def test_a_second_refresher_gives_up_when_the_first_does_not_let_go(
    installation: Installation, world: World, connections: Connections
) -> None:
    installation.wait_for_replay()
    second, blocked_steps = installation.connections(), []

    def at(step: str) -> None:
        if step == "resolve":
            with pytest.raises(LockTimeoutError, match="holds the lock"):
                refresh(second, installation.options(lock_wait_s=0.05))
            blocked_steps.append(step)

    refresh(connections, installation.options(), at=at)
    assert blocked_steps
    assert installation.rollup_errors() == {}


def test_a_refresher_that_waited_reads_what_the_first_one_read_or_newer(
    installation: Installation, world: World, connections: Connections
) -> None:
    """The lock is taken before the snapshot opens: else the second one writes an older state of the same sale, for good."""
    refresh(installation.connections(), installation.options())
    session, admin, second = Session(installation), installation.admin(), installation.connections()
    session.run(world, sell, 1, 2, 3)
    installation.wait_for_replay()
    results: list[RefreshResult] = []
    waiter = threading.Thread(target=lambda: results.append(refresh(second, installation.options())))

    def at(step: str) -> None:
        if step == "lock" and not waiter.is_alive() and not results:
            waiter.start()
            wait_until(
                lambda: one(admin, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
                timeout_s=30,
                what="the second refresh to wait for the lock",
            )
            for sale in world.sales:
                session.connection.execute(
                    "UPDATE retail.sale_items SET quantity = quantity + 1 WHERE sale_id = %s", [sale]
                )
            installation.wait_for_replay()

    refresh(connections, installation.options(), at=at)
    waiter.join()
    assert [result.reconciled for result in results] == [()]
    assert installation.rollup_errors() == {}
    refresh(connections, installation.options())
    assert installation.rollup_errors() == {}


@pytest.mark.parametrize("step", ["resolve", "facts", "state"])
def test_a_refresher_killed_by_the_operating_system(
    installation: Installation, world: World, connections: Connections, refreshed: Refreshed, step: str
) -> None:
    refreshed()
    before, state = installation.truth(), read_state(connections.warehouse)
    Session(installation).run(world, sell, 1, 2, 3)
    installation.wait_for_replay()
    urls = (
        installation.url("salespulse_reader", server=installation.pair.standby),
        installation.url("salespulse_pipeline"),
    )
    with subprocess.Popen(
        [sys.executable, "-c", _STOP_AT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n".join((*urls, step, "")))
        process.stdin.flush()
        assert process.stdout.readline() == "there\n"
        process.kill()
    assert installation.rollup_errors(before) == {}
    assert read_state(connections.warehouse) == state
    assert refreshed().applied.documents == 1
    assert installation.rollup_errors() == {}


def test_backfills_beside_refreshes_that_queue_the_same_documents(
    installation: Installation, world: World, connections: Connections
) -> None:
    """A changed time zone and a backfill queue the same documents in different orders: neither waits for ever."""
    session, done = Session(installation), threading.Event()
    session.connection.execute(
        "INSERT INTO retail.sales (tenant_id, store_id, receipt_number, sold_at) SELECT '1', "
        "(ARRAY['11', '12'])[1 + n % 2], n, '2025-03-01 09:00+00'::timestamptz + n * interval '47 minutes' "
        "FROM generate_series(1, 1500) AS n"
    )
    errors: list[Exception] = []

    def keep_queueing(connections: Connections) -> None:
        try:
            while not done.is_set():
                enqueue_range(
                    connections,
                    installation.mapping,
                    from_date=date(2025, 1, 1),
                    to_date=date(2025, 12, 31),
                    reason="backfill",
                )
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=keep_queueing, args=(installation.connections(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(16):
            for store in STORES:
                session.connection.execute(
                    session.statements["store_zone"], {"store": store, "zone": ZONES[number % len(ZONES)]}
                )
            installation.wait_for_replay()
            result = RefreshResult()
            refresh_transaction(connections, installation.options(batch_documents=40), result, Phases({}, no_hook))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []
    refresh(connections, installation.options())
    assert installation.rollup_errors() == {}
