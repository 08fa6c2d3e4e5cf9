"""How commands print: tables, JSON, progress, ages; and how those that run on are stopped."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
# Wider than any row: where stdout is no terminal, nothing is wrapped.
_PIPE_COLUMNS = 100_000
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Bar(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: float, total: float | None, text: str | None = None) -> None:
        """Show progress; `total` is None while it is unknown."""


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


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Print rows of equal shape on stdout: in a terminal long values wrap, in a pipe each row is one line; none is cut."""
    if not rows:
        return
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _PIPE_COLUMNS)
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table, markup=False, highlight=False)


def print_facts(facts: Mapping[str, Any], *, title: str | None = None) -> None:
    """Print names and values below each other, as `print_table` does."""
    print_table([{"": name, " ": value} for name, value in facts.items() if value not in (None, "")], title=title)


def age(moment: datetime | None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """Return how long ago a moment is, as in `12 s ago` or `3 d 4 h ago`; `in 5 min` for one to come, `-` for None."""
    if moment is None:
        return "-"
    seconds = (now() - moment).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """Return seconds as text in at most two units, as in `0.4 s`, `12 s`, `3 h 12 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in _SPANS:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; a second signal interrupts. The handlers are put back afterwards."""
    stop = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    handlers = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return age(value) if isinstance(value, datetime) else str(value)
