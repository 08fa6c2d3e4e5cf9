"""docs/architecture.md against the import contract and the files that it points at."""

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, read_page

PAGE = read_page("docs/architecture.md")
CONTRACT = "imports go one way, and what stands side by side does not import each other"


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    chapter = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in chapter.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_layers_are_those_of_the_contract() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (contract,) = (each for each in tools["importlinter"]["contracts"] if each["name"] == CONTRACT)
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    assert [set(re.findall("`([^`]+)`", row[0])) for row in table("Layers")] == layers
    assert set().union(*layers) == set(tools["hatch"]["build"]["targets"]["wheel"]["packages"])


@pytest.mark.parametrize("row", table("Where is …?"), ids=lambda row: row[0])
def test_a_name_is_in_a_file_that_its_row_links_to(row: list[str]) -> None:
    links = [ROOT / "docs" / path for path in re.findall(r"\]\(([^)]+)\)", row[1])]
    assert links, "no link"
    texts = [path.read_text(encoding="utf-8") for path in links if path.is_file()]
    for name in re.findall("`([^`]+)`", row[1]):
        assert any(name in text for text in texts), f"{name} is in none of the row's files"


def test_twenty_questions_are_answered() -> None:
    assert len(table("Where is …?")) >= 20
