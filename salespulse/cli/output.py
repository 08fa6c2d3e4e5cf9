"""How commands show progress and results."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table


class Bar(Protocol):
    """Moves one progress bar."""

    def __call__(self, done: float, total: float | None, text: str | None = None) -> None:
        """Show so much done of so much; `total` None while it is unknown."""


@contextmanager
def progress_bar(description: str, *, hidden: bool) -> Iterator[Bar]:
    """Show a bar on stderr while the context lasts; nothing where `hidden` (as for `--json`)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=False) as progress:
        task = progress.add_task(description, total=None)

        def move(done: float, total: float | None, text: str | None = None) -> None:
            progress.update(task, completed=done, total=total, description=text or description)

        yield move


def print_table(rows: list[dict[str, Any]], *, title: str | None = None) -> None:
    """Print rows of equal shape as a table on stdout."""
    if not rows:
        return
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return str(value)
