"""Previews for the UI: a rollup's largest rows as a Markdown table, and a small plot of net sales."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from psycopg import sql

from dbsql import query
from pipelines.refresh import Connection, Rollup

PREVIEW_ROWS = 5
PLOT_DAYS = 30

_SCRIPT = re.compile(r"<script.*?</script>", re.DOTALL)


def preview_rollup(warehouse: Connection, rollup: Rollup) -> dg.MarkdownMetadataValue:
    """Return the largest rows of the rollup's newest day or month: grain, counts, and its first two amounts."""
    amounts = tuple(name for name in rollup.measures if name.endswith("_amount"))
    columns = (*rollup.grain, *rollup.counts, *amounts[:2])
    statement = sql.SQL(query("assets.preview_rollup")).format(
        columns=sql.SQL(", ").join(sql.Identifier(name) for name in columns),
        table=rollup.table,
        date_column=sql.Identifier(rollup.date_column),
        measure=sql.Identifier((amounts or rollup.measures)[0]),
    )
    rows = warehouse.execute(statement, {"row_limit": PREVIEW_ROWS}).fetchall()
    return dg.MetadataValue.md(markdown_table(columns, (list(row.values()) for row in rows)))


def plot_net(warehouse: Connection) -> dg.MarkdownMetadataValue | None:
    """Return a plot of net sales per day, over the newest `PLOT_DAYS` days; None without any."""
    rows = warehouse.execute(query("assets.net_by_date"), {"days": PLOT_DAYS}).fetchall()
    if not rows:
        return None
    # Imported here: most processes that load these definitions never plot.
    import pygal  # noqa: PLC0415
    from pygal.style import Style  # noqa: PLC0415

    chart = pygal.Line(
        width=600,
        height=200,
        show_legend=False,
        js=[],
        disable_xml_declaration=True,
        show_minor_x_labels=False,
        x_labels_major_count=4,
        y_labels_major_count=3,
        show_minor_y_labels=False,
        style=Style(
            background="transparent", plot_background="transparent", label_font_size=12, major_label_font_size=12
        ),
        no_prefix=True,
        show_dots=False,
        truncate_label=-1,
    )
    chart.x_labels = [row["business_date"].isoformat() for row in rows]
    # A plot may round; every stored amount stays NUMERIC.
    chart.add("net", [float(row["net_amount"]) for row in rows])
    # The chart carries its configuration as a script, which no image runs: two fifths of an event of Dagster's log.
    picture = b64encode(_SCRIPT.sub("", chart.render()).encode()).decode()
    first, last = rows[0]["business_date"], rows[-1]["business_date"]
    return dg.MetadataValue.md(
        f"Net sales per day, {first} to {last}\n\n![net sales per day](data:image/svg+xml;base64,{picture})"
    )


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table, with the bars of values escaped."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(str(value).replace('|', '&#124;') for value in row)} |" for row in rows]
    return "\n".join(lines)
