"""docs/operations.md: what it names is what there is, and starting afresh ends exact."""

import re
from collections.abc import Callable
from pathlib import Path

from dbsql import query
from pipelines.refresh import RefreshResult
from sample_app.synthetic import generate
from tests.docs.pages import Reader, read_page, shell_lines, titled_blocks
from tests.warehouse import Installation

PAGE = read_page("docs/operations.md")


def chapter(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> set[str]:
    """What stands in backticks in the first column of a chapter's table."""
    return {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall("`([^`]+)`", line.split("|")[1])
    }


def test_status_shows_the_lines_that_the_page_explains(
    installation: Installation, refreshed: Callable[..., RefreshResult], tmp_path: Path
) -> None:
    refreshed()
    status = Reader(installation, tmp_path).reads(["status"])
    assert first_column(chapter("Is all well?")) == set(status["freshness"])
    assert {"last refreshes", "quarantine", "stack"} <= set(status)


def test_every_reason_of_the_quarantine_is_explained() -> None:
    reasons = set(re.findall(r"THEN '([^']+)'", query("apply.resolve_documents")))
    assert first_column(chapter("Quarantine")) == reasons != set()


def test_starting_afresh_ends_exact(
    installation: Installation, refreshed: Callable[..., RefreshResult], tmp_path: Path
) -> None:
    generate(installation.admin(), tenants=2, sales=80, days=20)
    refreshed()
    installation.admin().execute(titled_blocks(PAGE)["start-afresh.sql"].encode())
    reader = Reader(installation, tmp_path)
    migrate, refresh = shell_lines(chapter("Start afresh"))
    reader.types(migrate)
    assert reader.reads(refresh)["documents"] > 0
    assert installation.rollup_errors() == {}
