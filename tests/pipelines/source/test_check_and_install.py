"""Installing, uninstalling and checking a mapping; a live database that no longer fits it."""

from collections.abc import Callable

import psycopg
import pytest

from dbconnect import DatabaseError
from pipelines.refresh import RefreshResult
from pipelines.source import SourceError, check_source, install_source, load_mapping, uninstall_source
from pipelines.verification import verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, sell
from tests.warehouse import Installation

Refreshed = Callable[..., RefreshResult]


def _problems(mapped: Installation) -> list[str]:
    return [str(problem) for problem in check_source(mapped.admin(), mapped.mapping)]


def test_what_is_installed_has_no_problems_and_may_be_installed_again(mapped: Installation, world: World) -> None:
    assert _problems(mapped) == []
    install_source(mapped.admin(), mapped.mapping)
    assert _problems(mapped) == []


def test_check_names_each_missing_thing(mapped: Installation) -> None:
    admin = mapped.admin()
    table = mapped.mapping.capture[-1].table
    key = mapped.mapping.capture[-1].changes[0].key
    lines = next(
        c.table for c in mapped.mapping.capture if c.table.endswith(("sale_items", "sale_lines", '"SaleItem"'))
    )
    admin.execute(f"DROP TRIGGER salespulse_delete ON {lines}".encode())
    admin.execute(f"ALTER TABLE {lines} DISABLE TRIGGER salespulse_truncate".encode())
    admin.execute(f'ALTER TABLE {table} DROP COLUMN "{key}" CASCADE'.encode())
    problems = _problems(mapped)
    assert f"trigger salespulse_delete on {lines} is missing or disabled: run `salespulse source install`" in problems
    assert f"trigger salespulse_truncate on {lines} is missing or disabled: run `salespulse source install`" in problems
    assert any(problem.startswith(f"column {table}.{key} is missing") for problem in problems)
    assert any(problem.startswith("view salespulse_source.sale_") and "is missing" in problem for problem in problems)
    with pytest.raises(SourceError, match=r"does not fit this database.*source check"):
        install_source(admin, mapped.mapping)
    admin.execute(f"DROP TABLE {table} CASCADE".encode())
    assert any(problem.startswith(f"table {table} is missing") for problem in _problems(mapped))


def test_uninstall_leaves_the_application_as_it_was(
    mapped: Installation, world: World, session: Session, refresh_mapped: Refreshed
) -> None:
    admin = mapped.admin()
    uninstall_source(admin, mapped.mapping)
    uninstall_source(admin, mapped.mapping)
    for query in (
        (
            "SELECT tgname FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid"
            " WHERE NOT tgisinternal AND relnamespace <> 'salespulse'::regnamespace"
        ),
        "SELECT relname FROM pg_class WHERE relnamespace = 'salespulse_source'::regnamespace AND relkind = 'v'",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'salespulse_source'::regnamespace AND proname LIKE 'capture%'",
    ):
        assert admin.execute(query.encode()).fetchall() == []
    session.run(world, sell, 1, 2, 3)
    with pytest.raises(DatabaseError, match=r"source check|source install"):
        refresh_mapped()


def test_sales_made_while_nothing_was_installed_come_by_a_backfill(
    mapped: Installation, world: World, session: Session, refresh_mapped: Refreshed
) -> None:
    """The change log has a gap then, which nobody can see: `verify` with repair, or a backfill, closes it."""
    refresh_mapped()
    uninstall_source(mapped.admin(), mapped.mapping)
    session.run(world, sell, 1, 2, 3)
    install_source(mapped.admin(), mapped.mapping)
    mapped.wait_for_replay()
    report = verify(mapped.connections(), mapped.options(), repair=True)
    assert not report.is_exact
    assert report.drifted_document_count == 1
    assert mapped.rollup_errors() == {}


def test_a_dropped_column_takes_its_view_and_the_refresh_says_so(
    mapped: Installation, world: World, session: Session, refresh_mapped: Refreshed
) -> None:
    refresh_mapped()
    before = mapped.truth()
    column = {
        "retail": "retail.sale_items DROP COLUMN tax_amount",
        "shop": "shop.sale_lines DROP COLUMN tax_cents",
        "prisma": 'public."SaleItem" DROP COLUMN "taxAmount"',
    }
    session.run(world, sell, 1, 2, 3)
    mapped.admin().execute(f"ALTER TABLE {column[mapped.source_name]} CASCADE".encode())
    with pytest.raises(DatabaseError, match=r"salespulse_source\.sale_line.* does not exist.*source check"):
        refresh_mapped()
    assert mapped.rollup_errors(before) == {}


def test_a_missing_privilege_is_named(
    mapped: Installation, world: World, session: Session, refresh_mapped: Refreshed
) -> None:
    admin = mapped.admin()
    refresh_mapped()
    session.run(world, sell, 1, 2, 3)
    for revoked, named in (
        ("SELECT ON salespulse_source.sale_line FROM salespulse_reader", "view sale_line"),
        ("SELECT ON salespulse_source.change_log FROM salespulse_reader", "table change_log"),
        ("INSERT ON salespulse.fact_document FROM salespulse_pipeline", "table fact_document"),
        ("UPDATE ON salespulse.daily_store_sales FROM salespulse_pipeline", "table daily_store_sales"),
    ):
        admin.execute(f"REVOKE {revoked}".encode())
        with pytest.raises(DatabaseError, match=f"permission denied for {named}.*What to do: grant it"):
            refresh_mapped()
        admin.execute(f"GRANT {revoked.replace(' FROM ', ' TO ')}".encode())
    assert refresh_mapped().applied.documents == 1
    assert mapped.rollup_errors() == {}


def test_the_application_has_no_right_on_what_salespulse_keeps(mapped: Installation) -> None:
    application = mapped.application()
    for query in ("SELECT FROM salespulse_source.change_log", "SELECT FROM salespulse.fact_document"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute(query.encode())


def test_the_reader_can_read_and_nothing_else(mapped: Installation) -> None:
    reader = mapped.route("salespulse_reader")
    for query in (
        "DELETE FROM salespulse_source.change_log",
        "UPDATE salespulse_source.heartbeat SET beat_at = now()",
        "DELETE FROM salespulse.fact_document",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(query.encode())


def test_install_gives_up_when_a_table_stays_locked(mapped: Installation, world: World, session: Session) -> None:
    session.begin()
    session.run(world, sell, 1, 2, 3)
    with pytest.raises(SourceError, match="stayed locked"):
        install_source(mapped.admin(), mapped.mapping, lock_timeout_s=0.1)


def test_a_mapping_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"no source\.toml"):
        load_mapping("nowhere")
