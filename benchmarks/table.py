"""`python -m benchmarks.table`: fill the tables of docs/benchmarks.md from the JSON files in docs/benchmarks/.

A table stands between `<!-- name -->` and `<!-- /name -->` and shows the figures that are held to a bound; what is held
to 0 and is 0 becomes one sentence. All other figures are in the JSON alone.
"""

import json
import re
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import format_number

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def render_page(text: str, folder: Path) -> str:
    """Return the page's text with each table as its JSON file in the folder has it."""
    names = re.findall(r"<!-- ([\w-]+) -->", text)
    for name in names:
        document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        head, tail = text.split(f"<!-- {name} -->\n", 1)
        text = f"{head}<!-- {name} -->\n{render_table(name, document)}<!-- /{name} -->{tail.split(f'<!-- /{name} -->', 1)[1]}"
    return text


def render_table(name: str, document: dict[str, Any]) -> str:
    """Return one report as Markdown: where and when it was measured, and a row for each figure with a bound."""
    bounded = [figure for figure in document["figures"] if figure.get("bound") is not None]
    zeros = [figure for figure in bounded if figure["bound"] == 0 and figure["holds"]]
    rows = [_row(figure) for figure in bounded if figure not in zeros]
    machine = document["machine"]
    started_at = datetime.fromisoformat(document["started_at"])
    source = (
        f"{started_at:%Y-%m-%d %H:%M} UTC, commit {document['commit']}, {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']:g} GiB. All figures: [{name}.json](benchmarks/{name}.json)."
    )
    zero_text = f" {len(zeros)} counts of errors are held to 0 and are 0." if zeros else ""
    head = ["| figure | value | spread | bound | holds |", "|---|---:|---:|---:|---|"]
    lines = textwrap.wrap(source + zero_text, 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join(["", *lines, "", *head, *rows, "", ""])


def _row(figure: dict[str, Any]) -> str:
    sign = "≤" if figure["better"] == "lower" else "≥"
    spread = ""
    if figure.get("low") is not None and figure["low"] != figure["high"]:
        spread = f"{format_number(figure['low'])} … {format_number(figure['high'])}"
    holds = "yes" if figure["holds"] else "**no**"
    number = format_number(figure["value"])
    if not figure["holds"] and number == format_number(figure["bound"]):
        number = f"{figure['value']:g}"
    return f"| {figure['name']} | {number} {figure['unit']} | {spread} | {sign} {format_number(figure['bound'])} | {holds} |"


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(render_page(PAGE.read_text(encoding="utf-8"), PAGE.with_suffix("")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
