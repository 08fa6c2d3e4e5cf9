"""docs/howto/adopt-an-application.md, followed to the letter."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from pipelines.source import load_mapping
from tests.docs.pages import Reader, read_page, shell_lines, titled_blocks
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation

PAGE = read_page("docs/howto/adopt-an-application.md")
BLOCKS = titled_blocks(PAGE)

_SALES = """
INSERT INTO kiosk.owners VALUES (1, 'Ines', 'Europe/Lisbon'), (2, 'Jun', 'Asia/Tokyo');
INSERT INTO kiosk.stands VALUES (11, 1, 'Harbour'), (21, 2, 'Station');
INSERT INTO kiosk.goods VALUES (101, 1, 'Coffee'), (201, 2, 'Tea');
INSERT INTO kiosk.slips VALUES
(1, 1, 11, '2026-03-01 10:00+00', false), (2, 1, 11, '2026-03-01 11:00+00', true),
(3, 2, 21, '2026-03-01 16:00+00', false);
INSERT INTO kiosk.slip_lines VALUES (1, 1, 101, 3, 199), (2, 2, 101, 1, 199), (3, 3, 201, 2, 50);
INSERT INTO kiosk.money_back VALUES (1, 1, 11, 101, 1, 199, '2026-03-02 09:00+00');
"""
_ROWS = """
SELECT t.name, s.name, r.business_date::text, r.sale_count, r.return_count, r.net_amount
FROM salespulse.daily_store_sales AS r
JOIN salespulse.dim_tenant AS t ON t.tenant_key = r.tenant_key
JOIN salespulse.dim_store AS s ON s.store_key = r.store_key
ORDER BY t.name, r.business_date
"""


@dataclass
class Kiosk:
    """The page's application on the pair, and somebody who follows the page."""

    installation: Installation
    reader: Reader
    admin: psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def kiosk(postgres_pair: PostgresPair, role_passwords: dict[str, str], tmp_path: Path) -> Iterator[Kiosk]:
    (tmp_path / "kiosk").mkdir()
    for name in ("source.toml", "views.sql"):
        (tmp_path / "kiosk" / name).write_text(BLOCKS[name], encoding="utf-8")
    database = Database(postgres_pair, fresh_database(postgres_pair))
    installation = Installation(database, load_mapping(str(tmp_path / "kiosk")), role_passwords)
    admin = installation.admin()
    admin.execute(BLOCKS["application.sql"].encode())
    reader = Reader(installation, tmp_path, SALESPULSE_SOURCE="./kiosk")
    yield Kiosk(installation, reader, admin)
    installation.close()
    postgres_pair.drop_database(database.name)


def test_the_page_adopts_the_kiosk(kiosk: Kiosk) -> None:
    kiosk.admin.execute(_SALES.encode())
    outputs = [kiosk.reader.types(arguments) for arguments in shell_lines(PAGE)]
    assert outputs[2] == "kiosk: all in place\n"
    assert "no differences" in outputs[4]
    assert kiosk.admin.execute(_ROWS.encode()).fetchall() == [
        ("Ines", "Harbour", "2026-03-01", 1, 0, Decimal("5.97")),
        ("Ines", "Harbour", "2026-03-02", 0, 1, Decimal("-1.99")),
        ("Jun", "Station", "2026-03-02", 1, 0, Decimal("1.00")),
    ]

    # Live: a line's price is mended, a slip is voided, a stand's owner moves to another zone.
    kiosk.admin.execute("UPDATE kiosk.slip_lines SET cents_each = 205 WHERE line_no = 1")
    kiosk.admin.execute("DELETE FROM kiosk.money_back")
    kiosk.admin.execute("UPDATE kiosk.owners SET tz = 'UTC' WHERE owner_no = 2")
    assert kiosk.reader.reads(["refresh"])["pending_documents"] == 0
    assert kiosk.admin.execute(_ROWS.encode()).fetchall() == [
        ("Ines", "Harbour", "2026-03-01", 1, 0, Decimal("6.15")),
        ("Jun", "Station", "2026-03-01", 1, 0, Decimal("1.00")),
    ]
    assert kiosk.reader.reads(["verify"])["is_exact"]


def test_check_names_what_is_missing(kiosk: Kiosk) -> None:
    migrate, install, check, *_ = shell_lines(PAGE)
    kiosk.reader.types(migrate)
    kiosk.reader.types(install)
    kiosk.admin.execute("DROP TRIGGER salespulse_update ON kiosk.slips")
    kiosk.admin.execute("DROP VIEW salespulse_source.sale_payment")
    problems = kiosk.reader.reads(check, fails=True)["problems"]
    assert [problem.split(":")[0] for problem in problems] == [
        "trigger salespulse_update on kiosk.slips is missing or disabled",
        "view salespulse_source.sale_payment is missing",
    ]
    kiosk.reader.types(install)
    assert kiosk.reader.reads(check)["problems"] == []
    kiosk.reader.types(["source", "uninstall", "./kiosk"])
    left = kiosk.admin.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'salespulse%'").fetchone()
    assert left == (0,)
