"""docs/benchmarks.md shows what the JSON files in docs/benchmarks/ hold."""

import json
from pathlib import Path

import pytest

from benchmarks import report as reporting
from benchmarks.report import Figure, Report, format_document
from benchmarks.table import PAGE, render_page

FOLDER = PAGE.with_suffix("")


def test_the_tables_are_those_of_the_files() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render_page(text, FOLDER) == text, "run `make bench-table`"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_each_file_says_where_when_and_of_what_and_is_shown(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert {"benchmark", "started_at", "commit", "machine", "figures"} <= set(document)
    assert f"<!-- {path.stem} -->" in PAGE.read_text(encoding="utf-8")
    for figure in document["figures"]:
        if figure.get("bound") is not None:
            is_within = figure["value"] <= figure["bound"]
            is_beyond = figure["value"] >= figure["bound"]
            assert figure["holds"] == (is_within if figure["better"] == "lower" else is_beyond), figure["name"]


def test_a_report_becomes_a_table(tmp_path: Path) -> None:
    report = Report("refresh")
    report.add(
        Figure("time", 2.0, "ms", bound=1.0),
        Figure("errors", 0.0, "", bound=0),
        Figure("kept", 0.8499, "of 1", bound=0.85, better="higher"),
        Figure("only reported", 7.0, "s"),
    )
    (tmp_path / "refresh.json").write_text(format_document(report.as_document()), encoding="utf-8")
    text = render_page("Before.\n\n<!-- refresh -->\n| old |\n<!-- /refresh -->\n\nAfter.\n", tmp_path)
    assert text.startswith("Before.\n\n<!-- refresh -->\n")
    assert text.endswith("<!-- /refresh -->\n\nAfter.\n")
    assert "1 counts of errors are held to 0 and are 0." in text
    assert [line for line in text.splitlines() if line.startswith("|")][2:] == [
        "| time | 2.00 ms |  | ≤ 1.00 | **no** |",
        "| kept | 0.8499 of 1 |  | ≥ 0.850 | **no** |",
    ]
    assert render_page(text, tmp_path) == text


def test_a_report_is_published_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "OUT", tmp_path / "out")
    monkeypatch.setattr(reporting, "PUBLISHED", tmp_path / "docs")
    report = Report("jobs", settings={"quick": True})
    report.add(Figure("time", 2.0, "ms", bound=1.0))
    assert not report.finish()
    assert not (tmp_path / "docs").exists()
    report.finish(is_published=True)
    document = json.loads((tmp_path / "docs" / "jobs.json").read_text(encoding="utf-8"))
    assert document == json.loads((tmp_path / "out" / "jobs.json").read_text(encoding="utf-8"))
    assert document["settings"] == {"quick": True}
    assert [figure["name"] for figure in document["figures"]] == ["time"]
    assert not {"host", "hostname", "path"} & set(document["machine"])
