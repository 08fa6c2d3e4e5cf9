"""Only IANA names are time zones: PostgreSQL takes POSIX strings of the opposite sign, and abbreviations, for zones too."""

import random
from collections.abc import Callable

import pytest

from dbsql import sql_root
from pipelines.refresh import RefreshResult
from pipelines.verification import verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, seed, sell
from tests.warehouse import Installation

# These names are abbreviations without summer time where PostgreSQL converts a moment, and zones with it in IANA's files.
AMBIGUOUS = {"CET", "EET", "MET", "WET"}
WRONG = (
    "UTC+3", "GMT+2", "GMT-1", "+05:30", "-03", "Berlin+1", "<+03>-3", "EST5", "CET-1CEST", "Etc/GMT+13", "Etc/GMT-15",
    "Etc/UTC+1", "Europe/Berlin+1", "IST", "BST", "PDT", "", " ", "Mars/Olympus_Mons", "localtime", "posix/Europe/Berlin",
)  # fmt: skip


def _accepted(installation: Installation, zones: list[str]) -> set[str]:
    rows = installation.admin().execute(
        "SELECT z FROM unnest(%s::text[]) AS z WHERE salespulse.is_time_zone(z)", [zones]
    )
    return {zone for (zone,) in rows}


def test_each_name_of_iana_is_a_time_zone(installation: Installation) -> None:
    rows = installation.admin().execute(
        r"SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)/|^(localtime|posixrules)$'"
    )
    names = [name for (name,) in rows]
    assert len(names) > 400
    assert set(names) - _accepted(installation, names) == AMBIGUOUS & set(names)


def test_nothing_else_is_a_time_zone(installation: Installation) -> None:
    choices = random.Random(0)
    bases = ["UTC", "GMT", "Europe/Berlin", "Etc/GMT", "X", "abc", "<a1>", "Asia/Tokyo", ""]
    offsets = [
        f"{sign}{hours}{rest}" for sign in ("", "+", "-") for hours in (1, 3, 15, 24) for rest in ("", ":30", "ABC")
    ]
    strings = [choices.choice(bases) + choices.choice(offsets) for _ in range(300)]
    names = {f"Etc/GMT{sign}{hours}" for sign in "+-" for hours in (1, 3)}
    assert _accepted(installation, [*WRONG, *strings]) <= names


@pytest.mark.parametrize("zone", ["UTC+3", "IST"])
def test_a_store_with_such_a_zone_waits_in_quarantine(
    installation: Installation, refreshed: Callable[..., RefreshResult], zone: str
) -> None:
    """At the refresh after the upgrade too, although nothing of the store changed."""
    world, session, admin = World(), Session(installation), installation.admin()
    session.run(world, seed, 0, 0, 0)
    for number in range(3):
        session.run(world, sell, 0, number, number)
    refreshed()
    admin.execute("SET session_replication_role = replica")
    admin.execute("UPDATE retail.stores SET timezone = %s WHERE id = '11'", [zone])
    admin.execute(
        "UPDATE salespulse.dim_store SET own_time_zone = %s, time_zone = %s WHERE store_id = '11'", [zone, zone]
    )
    admin.execute("RESET session_replication_role")
    admin.execute((sql_root() / "migrations/warehouse/0025_iana_time_zones.sql").read_bytes())
    refreshed()
    rows = admin.execute("SELECT document_id, reason, detail FROM salespulse.quarantined_document").fetchall()
    assert {document for document, _, _ in rows} == set(world.sales)
    assert all(reason == "unknown time zone" and detail.endswith(f"zone '{zone}'") for _, reason, detail in rows)
    assert admin.execute("SELECT FROM salespulse.fact_document").fetchall() == []
    session.connection.execute("UPDATE retail.stores SET timezone = 'Europe/Moscow' WHERE id = '11'")
    refreshed()
    assert installation.rollup_errors() == {}
    assert verify(installation.connections(), installation.options()).is_exact
