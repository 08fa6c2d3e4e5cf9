"""The sensor: asks for a run when something is pending, and only then; looks within a tick, on a clock of its own."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import psycopg
import pytest

from background_jobs.dagster_bridge.run_tags import DRAINS_TAGS, is_draining
from pipelines.definitions import defs
from pipelines.refresh import Connections, RefreshOptions, read_state, refresh
from pipelines.sensors import OBSERVE_EVERY_S, POLL_S, RETRY_S, Cursor, refresh_sensor, tick
from pipelines.source import uninstall_source
from tests.pipelines.dagster.conftest import change_a_sale
from tests.warehouse import Installation


class Clock:
    """A clock that only waiting moves; `then` runs once a given moment is reached."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.waits = 0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.waits += 1
        due = [event for event in self.events if event[0] <= self.now_s]
        self.events = [event for event in self.events if event[0] > self.now_s]
        for _, event in due:
            event()

    def at(self, after_s: float, event: Callable[[], object]) -> None:
        self.events.append((self.now_s + after_s, event))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def current(current_shop: Installation) -> Connections:
    """Connections to a shop whose facts are up to date."""
    return current_shop.connections()


def watch(
    connections: Connections,
    clock: Clock,
    cursor: Cursor,
    *,
    draining: bool = False,
    tick_s: float = 20.0,
    submit: Callable[[], str | None] = lambda: None,
) -> Any:
    return tick(
        connections,
        cursor,
        is_draining=lambda: draining,
        submit=submit,
        clock=clock,
        wait=clock.wait,
        tick_s=tick_s,
    )


def quiet(clock: Clock) -> Cursor:
    return Cursor(observed_s=clock.now_s)


def test_idle_tick_asks_for_nothing_and_moves_as_of(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    before = read_state(current.warehouse)
    current_shop.admin().execute("UPDATE salespulse_source.heartbeat SET beat_at = clock_timestamp()")
    current_shop.wait_for_replay()
    result = watch(current, clock, quiet(clock))
    assert result.run_requests == []
    assert result.skip_reason is not None
    assert clock.waits == pytest.approx(20 / POLL_S, abs=1)
    after = read_state(current.warehouse)
    assert before is not None
    assert after is not None
    assert after.as_of > before.as_of


def test_a_change_within_the_tick_is_seen_at_the_next_look(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()

    def change() -> None:
        change_a_sale(application)
        current_shop.wait_for_replay()

    clock.at(3.0, change)
    began_s = clock.now_s
    result = watch(current, clock, quiet(clock))
    assert len(result.run_requests) == 1
    assert clock.now_s - began_s <= 3.0 + POLL_S


def test_before_the_first_refresh_one_is_asked_for(shop: Installation, clock: Clock) -> None:
    result = watch(shop.connections(), clock, quiet(clock))
    assert [request.run_key for request in result.run_requests] == ["first refresh attempt 1"]


def test_none_is_asked_for_while_one_is_draining(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()
    change_a_sale(application)
    current_shop.wait_for_replay()
    result = watch(current, clock, quiet(clock), draining=True, tick_s=1)
    assert result.run_requests == []
    assert len(watch(current, clock, quiet(clock)).run_requests) == 1


def test_run_key_stands_still_while_a_transaction_is_held_open(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()
    holder = current_shop.application()
    with holder.transaction():
        change_a_sale(holder)
        change_another_sale(application)
        current_shop.wait_for_replay()
        first = watch(current, clock, quiet(clock))
        again = watch(current, clock, quiet(clock))
        assert first.run_requests[0].run_key == again.run_requests[0].run_key
        refresh(current, RefreshOptions(current_shop.mapping))
        # Applied, though the horizon can't pass the open transaction: nothing is pending any more.
        assert watch(current, clock, quiet(clock), tick_s=1).run_requests == []
    current_shop.wait_for_replay()
    late = watch(current, clock, quiet(clock))
    assert late.run_requests[0].run_key != first.run_requests[0].run_key


def test_the_same_changes_are_asked_for_again_later_and_later(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()
    change_a_sale(application)
    current_shop.wait_for_replay()
    first = watch(current, clock, quiet(clock))
    cursor = Cursor.parse(first.cursor)
    assert watch(current, clock, cursor, tick_s=1).run_requests == []
    clock.now_s += RETRY_S
    again = watch(current, clock, cursor)
    assert again.run_requests[0].run_key == f"{cursor.pending} attempt 2"
    cursor = Cursor.parse(again.cursor)
    clock.now_s += RETRY_S
    assert watch(current, clock, cursor, tick_s=1).run_requests == []
    clock.now_s += RETRY_S
    assert len(watch(current, clock, cursor).run_requests) == 1


def test_queued_documents_are_pending_too(current_shop: Installation, current: Connections, clock: Clock) -> None:
    current_shop.admin().execute(
        "INSERT INTO salespulse.pending_document (document_kind, document_id, reason) VALUES ('sale', 'x', 'backfill')"
    )
    (request,) = watch(current, clock, quiet(clock)).run_requests
    assert request.run_key.startswith("queue 1 at ")


def test_source_assets_are_reported_on_every_minute(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()
    change_a_sale(application)
    current_shop.wait_for_replay()
    result = watch(current, clock, Cursor())
    seen = {event.asset_key.path[-1]: event.metadata for event in result.asset_events}
    assert len(seen) == 11
    assert seen["sale"]["pending_changes"].value == 1
    assert seen["product"]["pending_changes"].value == 0
    assert seen["change_log"]["lag_bytes"].value >= 0
    cursor = Cursor.parse(result.cursor)
    assert watch(current, clock, cursor, tick_s=1).asset_events == []
    clock.now_s += OBSERVE_EVERY_S
    assert len(watch(current, clock, cursor, tick_s=1).asset_events) == 11


def test_the_job_store_is_asked_and_the_tick_goes_on_looking(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    application = current_shop.application()
    change_a_sale(application)
    current_shop.wait_for_replay()
    submit_times: list[float] = []

    def submit() -> str:
        submit_times.append(clock.now_s)
        return f"job {len(submit_times)}"

    def change() -> None:
        change_another_sale(application)
        current_shop.wait_for_replay()

    clock.at(5.0, change)
    result = watch(current, clock, quiet(clock), submit=submit)
    assert result.run_requests == []
    assert clock.waits == pytest.approx(20 / POLL_S, abs=1)
    # The first change, the second one, and what is still pending because nobody applied it.
    assert len(submit_times) >= 2
    assert submit_times[1] - submit_times[0] == pytest.approx(5.0, abs=POLL_S)
    assert "job 1, job 2" in (result.skip_reason.skip_message or "")
    assert Cursor.parse(result.cursor).pending


def test_where_the_job_store_does_not_take_it_dagster_is_asked(
    current_shop: Installation, current: Connections, clock: Clock
) -> None:
    change_a_sale(current_shop.application())
    current_shop.wait_for_replay()
    began_s = clock.now_s
    assert len(watch(current, clock, quiet(clock), submit=lambda: None).run_requests) == 1
    assert clock.now_s == began_s


@pytest.mark.parametrize("text", [None, "", "12", '{"unknown": 1}', "not json"])
def test_a_foreign_cursor_counts_as_none(text: str | None) -> None:
    assert Cursor.parse(text) == Cursor()


def test_cursor_survives_a_round_trip() -> None:
    cursor = Cursor(pending="change 7", attempt=2, requested_s=3.5, observed_s=4.0)
    assert Cursor.parse(cursor.format()) == cursor


@pytest.mark.parametrize(
    ("status", "tags", "expected"),
    [
        (dg.DagsterRunStatus.STARTING, DRAINS_TAGS, True),
        (dg.DagsterRunStatus.STARTED, DRAINS_TAGS, True),
        (dg.DagsterRunStatus.SUCCESS, DRAINS_TAGS, False),
        (dg.DagsterRunStatus.FAILURE, DRAINS_TAGS, False),
        (dg.DagsterRunStatus.STARTED, {}, False),
    ],
)
def test_a_run_that_applies_what_is_pending_is_draining_until_it_ends(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str], expected: bool
) -> None:
    instance.create_run_for_job(defs.resolve_job_def("health_job"), status=status, tags=tags)
    assert is_draining(instance) is expected


def test_the_sensor_itself_asks_for_refresh_job(
    shop: Installation, routes: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    context = dg.build_sensor_context(instance=instance, resources=routes, definitions=defs)
    result = refresh_sensor.evaluate_tick(context)
    assert [request.run_key for request in result.run_requests or []] == ["first refresh attempt 1"]
    assert refresh_sensor.job_name == "refresh_job"
    assert refresh_sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert refresh_sensor.minimum_interval_seconds == 5


def test_before_the_source_is_installed_the_sensor_says_so(
    shop: Installation, routes: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    uninstall_source(shop.admin(), shop.mapping)
    shop.wait_for_replay()
    result = refresh_sensor.evaluate_tick(
        dg.build_sensor_context(instance=instance, resources=routes, definitions=defs)
    )
    assert not result.run_requests
    assert "salespulse source install" in (result.skip_message or "")


def change_another_sale(connection: psycopg.Connection[Any]) -> None:
    """Edit another sale than `change_a_sale` does, so that the two don't wait for each other."""
    connection.execute(
        "UPDATE retail.sale_items SET quantity = quantity + 1 WHERE id = (SELECT max(id) FROM retail.sale_items)"
    )
