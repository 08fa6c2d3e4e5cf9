"""Install over what is installed already, and uninstall: exactly what was installed comes and goes."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from pipelines.source import SourceError, SourceMapping, install_source, uninstall_source
from tests.warehouse import Installation, Plain, one

# Everything that an install could leave behind, with the privileges on it.
_CATALOGUE = """
SELECT 'relation', c.oid::regclass::text, c.relkind::text, c.relacl::text FROM pg_class AS c
WHERE c.relnamespace::regnamespace::text !~ '^pg_'
UNION ALL SELECT 'routine', p.oid::regprocedure::text, p.prosrc, p.proacl::text FROM pg_proc AS p
WHERE p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL SELECT 'trigger', t.tgrelid::regclass::text, t.tgname, t.tgenabled::text FROM pg_trigger AS t
WHERE NOT t.tgisinternal
UNION ALL SELECT 'schema', nspname, NULL, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'capture', source_name, table_name, function_name FROM salespulse_source.installed_capture
ORDER BY 1, 2, 3
"""


def _catalogue(connection: Plain) -> list[tuple[object, ...]]:
    return connection.execute(_CATALOGUE.encode()).fetchall()


def _renamed(mapping: SourceMapping, name: str) -> SourceMapping:
    return mapping.model_copy(update={"name": name})


def _with_a_new_column(mapping: SourceMapping) -> SourceMapping:
    """The same mapping, whose payment view begins with another column."""
    pattern = re.compile(r"(CREATE OR REPLACE VIEW salespulse_source\.sale_payment AS\s+SELECT)")
    return mapping.model_copy(update={"views_sql": pattern.sub(r"\1 now() AS read_at,", mapping.views_sql)})


def test_uninstall_removes_exactly_what_install_created(mapped: Installation) -> None:
    admin = mapped.admin()
    assert uninstall_source(admin, mapped.mapping)
    before = _catalogue(admin)
    helper = "CREATE VIEW salespulse_source.a_helper AS SELECT * FROM salespulse_source.z_base;"
    views = f"CREATE VIEW salespulse_source.z_base AS SELECT 1 AS n; {helper} {mapped.mapping.views_sql}"
    mapping = mapped.mapping.model_copy(update={"views_sql": views})
    for _ in range(2):
        install_source(admin, mapping)
    installed = _catalogue(admin)
    assert len(installed) >= len(before) + 12 + 6 * len(mapping.capture)
    assert uninstall_source(admin, mapping)
    assert _catalogue(admin) == before
    assert not uninstall_source(admin, mapping), "nothing is left to uninstall"


def test_another_mapping_is_refused_and_changes_nothing(mapped: Installation) -> None:
    admin = mapped.admin()
    before = _catalogue(admin)
    for attempt in (install_source, uninstall_source):
        with pytest.raises(SourceError, match=rf"^{mapped.source_name} is installed, not other: run .*uninstall"):
            attempt(admin, _renamed(mapped.mapping, "other"))
    assert _catalogue(admin) == before
    uninstall_source(admin, mapped.mapping)
    install_source(admin, _renamed(mapped.mapping, "other"))


def test_a_capture_that_the_mapping_no_longer_has_is_dropped(mapped: Installation) -> None:
    admin = mapped.admin()
    *captures, _ = mapped.mapping.capture
    gone = next(c for c in captures if c.changes[0].entity == "customer")
    fewer = tuple(c for c in mapped.mapping.capture if c is not gone)
    install_source(admin, mapped.mapping.model_copy(update={"capture": fewer}))
    query = "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname LIKE 'salespulse%%'"
    assert one(admin, query, gone.table) == 0
    assert one(admin, query, captures[0].table) == 4
    assert one(admin, "SELECT count(*) FROM pg_proc WHERE proname LIKE 'capture\\_%'") == len(fewer)


def test_changed_views_replace_the_old_without_a_moment_without_one(mapped: Installation) -> None:
    admin, reader = mapped.admin(), mapped.admin()
    is_done = Event()

    def read() -> int:
        reads = 0
        while not is_done.is_set():
            reader.execute("SELECT count(*) FROM salespulse_source.sale_payment")
            reads += 1
        return reads

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        try:
            for _ in range(4):
                for mapping in (_with_a_new_column(mapped.mapping), mapped.mapping):
                    install_source(admin, mapping)
        finally:
            is_done.set()
        assert reading.result(timeout=60) > 0
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'sale_payment' AND column_name = %s"
    assert (one(admin, columns, "read_at"), one(admin, columns, "amount")) == (0, 1)


def test_a_foreign_view_on_the_contract_stays(mapped: Installation) -> None:
    admin = mapped.admin()
    admin.execute("CREATE VIEW public.board AS SELECT payment_method FROM salespulse_source.sale_payment")
    install_source(admin, mapped.mapping)
    before = _catalogue(admin)
    with pytest.raises(SourceError, match=r"board can't do without the view: drop it, install"):
        install_source(admin, _with_a_new_column(mapped.mapping))
    with pytest.raises(SourceError, match=r"other objects depend on"):
        uninstall_source(admin, mapped.mapping)
    assert _catalogue(admin) == before


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("CREATE VIEW salespulse_source.extra AS SELECT 1 / '0'::bogus", "bogus"),
        ("CREATE VIEW salespulse_source.extra AS SELECT nosuch FROM pg_class", "does not fit this database"),
        ("CREATE VIEW salespulse_source.sale AS SELECT 1 AS n", "already exists|cannot"),
    ],
)
@pytest.mark.parametrize("any_template", ["retail"], indirect=True)
def test_each_error_is_one_sentence_and_changes_nothing(mapped: Installation, views: str, message: str) -> None:
    admin = mapped.admin()
    before = _catalogue(admin)
    with pytest.raises(SourceError, match=message) as raised:
        install_source(admin, mapped.mapping.model_copy(update={"views_sql": f"{mapped.mapping.views_sql};{views}"}))
    assert "\n" not in str(raised.value)
    assert _catalogue(admin) == before
