"""`salespulse load`: put sales into the application's tables."""

import time
from pathlib import Path

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dbconnect import load_settings
from salespulse.cli.output import JSON_OPTION, print_json
from sample_app import RetailError, install_application, load_online_retail
from sample_app.online_retail import TENANT_NAME

_PHASES = {"read": "reading", "delete": "deleting the former tenant", "load": "loading lines"}


@click.group()
def load() -> None:
    """Load sales into the application's tables."""


@load.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Delete the tenant first, with everything sold since.")
@click.option(
    "--tenant", default=TENANT_NAME, show_default=True, help="Name of the tenant; another name, another copy."
)
@JSON_OPTION
def retail(file: Path, replace: bool, tenant: str, as_json: bool) -> None:
    """Load the Online Retail data set (FILE, Parquet) as one tenant with a store per country."""
    url = load_settings().url("application_url")
    started = time.perf_counter()
    with _bars(hidden=as_json) as bars, _connect(url) as connection:
        tasks: dict[str, TaskID] = {}

        def progress(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(_PHASES[phase], total=total or None)
            bars.update(tasks[phase], completed=done)

        install_application(connection)
        counts = load_online_retail(connection, file, replace=replace, tenant_name=tenant, progress=progress)
    seconds = time.perf_counter() - started
    if as_json:
        print_json(counts.as_dict() | {"seconds": round(seconds, 3)})
        return
    click.echo(
        f"{counts.lines:,} lines of {counts.invoices:,} invoices ({counts.sales:,} sales, {counts.returns:,} returns), "
        f"{counts.stock_codes:,} products, {counts.customers:,} customers, {counts.countries} stores: "
        f"net {counts.net_amount:,} GBP, in {seconds:.1f} s"
    )


def _connect(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, application_name="salespulse load")
    except psycopg.OperationalError as error:
        raise RetailError(f"the application's data base can't be reached: {error}") from error


def _bars(*, hidden: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=hidden)
