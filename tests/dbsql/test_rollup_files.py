"""Rollup files and their tables fit together; a malformed file is refused with the reason."""

import pytest

from dbsql import sql_root
from pipelines.refresh import Connections, RefreshResult, Rollup, RollupError, all_rollups, rollup_named
from pipelines.refresh.rollups import parse_rollup
from pipelines.verification import rebuild_rollup
from tests.expected_rollups import COLUMNS
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, return_half, seed, sell
from tests.warehouse import Installation

ROLLUPS = all_rollups()


def test_every_file_is_a_rollup_and_has_a_plain_sql_truth() -> None:
    assert {rollup.name for rollup in ROLLUPS} == {path.stem for path in (sql_root() / "rollups").glob("*.sql")}
    assert {rollup.name for rollup in ROLLUPS} == COLUMNS.keys()


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_the_table_has_the_files_grain_and_measures(installation: Installation, rollup: Rollup) -> None:
    admin = installation.admin()
    key = admin.execute(
        "SELECT array_agg(a.attname::text ORDER BY k.position) FROM pg_index AS i, "
        "unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position), pg_attribute AS a "
        "WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum",
        [f"salespulse.{rollup.name}"],
    ).fetchone()
    assert key == (list(rollup.grain),)
    columns = admin.execute(
        "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'salespulse' "
        "AND table_name = %s AND is_generated = 'NEVER'",
        [rollup.name],
    ).fetchall()
    assert dict(columns) == dict.fromkeys(rollup.grain + rollup.measures, "NO")
    assert rollup.description.startswith("One row per ")
    assert rollup.date_column in rollup.grain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1", "no line `-- relation"),
        ("-- relation: document\n-- grain: a\nSELECT 1", "no line `-- counts"),
        ("-- relation: nothing\n-- grain: a\n-- counts: n\nSELECT 1", "relation 'nothing' is none of document,"),
        ("-- relation: document\n-- grain: a\n-- counts: n\nSELECT\n    sum(m) AS m\n", "each name under `-- counts:`"),
    ],
)
def test_a_malformed_file(text: str, message: str) -> None:
    with pytest.raises(RollupError, match=message):
        parse_rollup("broken", text)


def test_a_rollup_that_is_not_there() -> None:
    with pytest.raises(RollupError, match="no rollup 'weekly'; there are daily_customer_sales"):
        rollup_named("weekly")


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_rebuilding_repairs_every_row(
    installation: Installation, connections: Connections, refreshed, rollup: Rollup
) -> None:
    world, session, admin = World(), Session(installation), installation.admin()
    session.run(world, seed, 0, 0, 0)
    for number in range(6):
        session.run(world, sell, number, number + 1, number + 2)
        session.run(world, return_half, number, number, number)
    result: RefreshResult = refreshed()
    assert result.is_drained
    date_column = rollup.date_column
    table = f"salespulse.{rollup.name}"
    # One row wrong, one gone, one that should not exist, in another month.
    admin.execute(f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})".encode())
    admin.execute(f"UPDATE {table} SET {rollup.measures[-1]} = 7 WHERE ctid = (SELECT max(ctid) FROM {table})".encode())
    columns = ", ".join(rollup.grain + rollup.measures)
    values = columns.replace(date_column, "'2025-01-01'::date")
    admin.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} LIMIT 1".encode())
    assert set(installation.rollup_errors()) == {rollup.name}
    assert rebuild_rollup(connections, installation.options(), rollup) == 3
    assert installation.rollup_errors() == {}
    assert rebuild_rollup(connections, installation.options(), rollup) == 0
