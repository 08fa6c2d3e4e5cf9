"""Put the sales into the application's tables, and wait for the dashboards to have them."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime

import psycopg
from psycopg.rows import dict_row

from dbconnect import Settings
from dbconnect.errors import UnavailableError
from dbsql import query
from pipelines.migrate import migrate_all
from pipelines.refresh import open_connections
from pipelines.refresh.observe import SourceObservation, observe_source
from pipelines.source import install_source, load_mapping
from sample_app import install_application, load_online_retail
from sample_app.online_retail import DATA_FILE, TENANT_NAME
from sample_app.synthetic import generate

# Of the synthetic tenants, the largest.
OTHER_TENANT_NAME = "Synthetic 1-1"
_OTHER_TENANTS = 3
_OTHER_SALES = 6_000
_OTHER_DAYS = 90


def prepare_schema(settings: Settings) -> None:
    """Migrate, make the application's tables, install the capture: before anything looks for changes.

    Args:
        settings: of the running stack.
    """
    migrate_all(settings)
    with psycopg.connect(settings.url("application_url"), autocommit=True) as connection:
        install_application(connection)
    with psycopg.connect(settings.url("admin_url"), autocommit=True) as admin:
        install_source(admin, load_mapping(settings.source))


def prepare_sales(
    settings: Settings, *, say: Callable[[str], None], progress: Callable[[str, int, int], None]
) -> dict[str, object]:
    """Load the real sales and a few synthetic tenants.

    What is there already from an earlier demonstration is left as it is.

    Args:
        settings: of the running stack.
        say: told what happens.
        progress: called as (what, done, total).

    Returns:
        The counts of the Online Retail load, empty when it was there already.
    """
    counts: dict[str, object] = {}
    with (
        psycopg.connect(settings.url("application_url"), autocommit=True) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        if cursor.execute(query("demo.tenant_exists"), {"name": TENANT_NAME}).fetchone() == {"is_there": False}:
            say("loading the Online Retail sales (541,909 lines, Dec 2010 to Dec 2011)")
            loaded = load_online_retail(connection, DATA_FILE, progress=progress)
            counts = loaded.as_dict()
        if cursor.execute(query("demo.any_other_tenant"), {"name": TENANT_NAME}).fetchone() == {"is_there": False}:
            say(f"making {_OTHER_TENANTS} synthetic tenants ({_OTHER_SALES:,} sales of the last {_OTHER_DAYS} days)")
            generate(
                connection,
                tenants=_OTHER_TENANTS,
                sales=_OTHER_SALES,
                days=_OTHER_DAYS,
                last_day=_today(),
                progress=lambda done, total: progress("synthetic sales", done, total),
            )
    return counts


def wait_until_drained(
    settings: Settings,
    *,
    stall_s: float = 120,
    watch: Callable[[SourceObservation], None],
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> SourceObservation:
    """Wait until the runs that Dagster's sensor starts have applied everything committed before this call.

    Args:
        settings: of the running stack.
        stall_s: give up after this many seconds without progress: neither the watermark nor the queue moved.
        watch: called with each observation.
        clock: monotonic seconds.
        wait: waits a number of seconds.

    Raises:
        UnavailableError: nothing moved for too long; the message says what is still pending.
    """
    began_at = datetime.now(UTC)
    progress, ends_at = None, clock() + stall_s
    with open_connections(settings) as connections:
        while True:
            seen = observe_source(connections)
            watch(seen)
            if not seen.is_pending and seen.shown_at >= began_at:
                return seen
            if progress != (progress := (seen.horizon, seen.queued_documents)):
                ends_at = clock() + stall_s
            if clock() > ends_at:
                raise UnavailableError(
                    f"no progress for {stall_s:.0f} s with {seen.pending_changes:,} changes and "
                    f"{seen.queued_documents:,} queued documents left: see the logs of the daemon and the worker in "
                    f"{settings.data_dir / 'logs'}"
                )
            wait(0.5)


def _today() -> date:
    return datetime.now(UTC).date()
