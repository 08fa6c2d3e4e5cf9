"""Errors in Dagster: what is shown, and what is tried again."""

import dagster as dg
import psycopg
import pytest

from dbconnect import LockTimeoutError
from dbconnect.errors import SettingsError, UnavailableError
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.refresh import NoReplicaError, RefreshError
from tests.pipelines.dagster.conftest import Run
from tests.warehouse import Installation


@pytest.mark.parametrize(
    ("error", "may_retry"),
    [
        (UnavailableError("the warehouse is away"), True),
        (LockTimeoutError("another one holds the lock"), True),
        (psycopg.errors.AdminShutdown("shut down"), True),
        (NoReplicaError("SALESPULSE_REPLICA_URL is not set"), True),
        (SettingsError("SALESPULSE_SOURCE is wrong"), False),
        (RefreshError("a column is missing"), False),
        (psycopg.errors.InsufficientPrivilege("permission denied"), False),
        (ZeroDivisionError("a bug"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, may_retry: bool) -> None:
    with pytest.raises(dg.Failure) as caught, as_dagster_failure("refreshing"):
        raise error
    assert caught.value.allow_retries is may_retry
    assert str(error).split(":", maxsplit=1)[0] in (caught.value.description or "")


def test_known_errors_come_without_their_stack_and_bugs_with_it() -> None:
    with pytest.raises(dg.Failure) as failure, as_dagster_failure("refreshing"):
        raise RefreshError("a column is missing")
    assert failure.value.__suppress_context__
    with pytest.raises(dg.Failure) as bug, as_dagster_failure("refreshing"):
        raise KeyError("surprise")
    assert isinstance(bug.value.__cause__, KeyError)


def test_a_mistake_of_the_user_ends_the_run_at_once_with_advice(
    shop: Installation, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALESPULSE_REPLICA_URL", "mysql://nowhere")
    result = run("refresh_job", raise_on_error=False)
    assert not result.success
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "SALESPULSE_REPLICA_URL: must begin with postgresql://" in (failure.user_failure_data.description or "")
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_retries_outlast_a_restart_of_a_server() -> None:
    waits = [RETRIES.calculate_delay(attempt) for attempt in range(1, RETRIES.max_retries + 1)]
    assert sum(waits) > 10


def test_missing_privilege_is_named_with_what_to_do(shop: Installation, run: Run) -> None:
    with shop.admin() as connection:
        connection.execute("REVOKE SELECT ON salespulse_source.sale FROM salespulse_reader")
    result = run("refresh_job", raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    description = failure.user_failure_data.description or ""
    assert "permission denied for view sale" in description
    assert "salespulse source install" in description
