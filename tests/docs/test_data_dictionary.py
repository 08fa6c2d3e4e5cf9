"""docs/data-dictionary.md against a migrated database, the rollup files and Dagster's asset keys."""

import re
from pathlib import Path

import pytest

from pipelines.definitions import defs
from pipelines.refresh import all_rollups
from pipelines.source.check import CONTRACT
from tests.warehouse import Installation

TEXT = (Path(__file__).parents[2] / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
_SECTION = re.compile(
    r"^### `(?P<name>[\w.]+)`\n\n(?P<grain>(?:[^\n]+\n)+)(?P<body>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL
)
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)
SECTIONS = {match["name"]: match for match in _SECTION.finditer(TEXT)}
GRAINS = {name: " ".join(section["grain"].split()) for name, section in SECTIONS.items()}
COLUMNS = {
    name: {row["name"]: row["type"] for row in _ROW.finditer(section["body"])} for name, section in SECTIONS.items()
}
ROLLUPS = {f"salespulse.{rollup.name}" for rollup in all_rollups()}
VIEWS = {f"salespulse_source.{view}" for view in CONTRACT}

_CATALOGUE = """
SELECT n.nspname || '.' || c.relname, a.attname,
    replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz')
        || CASE WHEN a.attnotnull THEN '' ELSE ', null' END
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname IN ('salespulse', 'salespulse_source') AND c.relkind IN ('r', 'p', 'v', 'm')
ORDER BY c.oid, a.attnum
"""


def test_tables_columns_and_types_are_the_databases(installation: Installation) -> None:
    catalogue: dict[str, dict[str, str]] = {}
    for table, column, of_type in installation.admin().execute(_CATALOGUE).fetchall():
        catalogue.setdefault(table, {})[column] = of_type
    assert catalogue.keys() == SECTIONS.keys()
    for table, columns in catalogue.items():
        if table in VIEWS:
            assert list(columns) == list(COLUMNS[table]), table
        else:
            assert list(columns.items()) == list(COLUMNS[table].items()), table


def test_meanings_are_the_databases_comments(installation: Installation) -> None:
    """The dimensions, facts and rollups: Dagster shows the comments as the columns' descriptions."""
    commented = installation.admin().execute(
        "SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE col_description(attrelid, attnum) IS NOT NULL AND attrelid::regclass::text LIKE 'salespulse.%'"
    )
    comments = {(table, column): text for table, column, text in commented.fetchall()}
    meanings = {
        (name, row["name"]): row["meaning"].replace("`", "")
        for name, section in SECTIONS.items()
        if name.startswith(("salespulse.dim_", "salespulse.fact_")) or name in ROLLUPS
        for row in _ROW.finditer(section["body"])
    }
    assert comments == meanings


@pytest.mark.parametrize("view", CONTRACT)
def test_types_of_the_source_contract_are_the_checks(view: str) -> None:
    written = {"any": set(), "timestamptz": {"timestamp with time zone"}}
    written["numeric or integer"] = {"numeric", "bigint", "integer", "smallint"}
    described = COLUMNS[f"salespulse_source.{view}"]
    assert {name: written.get(text, {text}) for name, text in described.items()} == CONTRACT[view]


def test_every_table_says_its_grain() -> None:
    for name, grain in GRAINS.items():
        assert grain.startswith(("One row per ", "One row:", "One row,")), name


def test_a_rollup_is_the_same_word_everywhere() -> None:
    """File, heading with the file's first line, and Dagster asset with the same description."""
    chapter = TEXT.partition("\n## Rollups\n")[2].partition("\n## ")[0]
    described = {match["name"]: GRAINS[match["name"]] for match in _SECTION.finditer(chapter)}
    assert described == {f"salespulse.{rollup.name}": rollup.description for rollup in all_rollups()}
    graph = defs.resolve_asset_graph()
    groups: dict[str | None, dict[str, str]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        groups.setdefault(node.group_name, {})[".".join(key.path)] = (node.description or "").splitlines()[0]
    assert groups["rollups"] == described
    for group in ("facts", "dimensions"):
        for name, description in groups[group].items():
            assert description == GRAINS[name]
    assert groups["source"].keys() == VIEWS
    for view, description in groups["source"].items():
        assert description.startswith(GRAINS[view])
    assert groups["capture"].keys() <= SECTIONS.keys()
