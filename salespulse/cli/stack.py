"""`salespulse up` and `salespulse down`."""

import time
from pathlib import Path

import click
from rich.console import Console

from dbconnect import load_settings
from dbconnect.masking import mask_url
from local_stack.stack import StackOptions
from local_stack.stack import down as stop_stack
from local_stack.stack import up as start_stack
from pipelines.migrate import migrate_all
from salespulse.cli.output import JSON_OPTION, print_json

_DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Where servers, logs and secrets are kept [.salespulse]."
)


# On one machine with busy cores the dashboard API comes first, then the standby that it reads from, then the primary that
# pipelines write to, and last the pipelines.
NICE_VALUES = {
    "postgres_standby": 8,
    "postgres_primary": 12,
    "code_server": 15,
    "worker": 15,
    "daemon": 15,
    "webserver": 15,
    "bridge": 15,
}


def supervised_commands() -> dict[str, list[str]]:
    """Return the commands of `salespulse` that the supervisor keeps running: arguments by name."""
    return {"heartbeat": ["heartbeat", "--every", "1"], "bridge": ["bridge"]}


@click.command()
@_DATA_DIR
@click.option("--no-ui", is_flag=True, help="Leave the pages out: Dagster's and the dashboard's.")
@click.option(
    "--definitions", default="pipelines.definitions", show_default=True, help="Module of the Dagster definitions."
)
@click.option(
    "--workers", default=3, show_default=True, type=click.IntRange(1, 64), help="Runs that execute at a time."
)
@JSON_OPTION
def up(data_dir: Path | None, no_ui: bool, definitions: str, workers: int, as_json: bool) -> None:
    """Start the local stack: PostgreSQL primary and standby, Redis, PgBouncer, Dagster.

    Programs that run are left alone; the others are started, however the last stack ended. A server whose URL is set
    (SALESPULSE_PRIMARY_URL and the like; see `salespulse settings`) is used and not started.
    """
    console = Console(stderr=True, highlight=False)
    started_at = time.monotonic()
    options = StackOptions(
        data_dir=data_dir or load_settings().data_dir,
        with_ui=not no_ui,
        definitions_module=definitions,
        worker_processes=workers,
        commands=supervised_commands(),
        nice_values=NICE_VALUES,
    )
    with console.status("starting") as status:

        def log(line: str) -> None:
            status.update(line)
            console.print(f"[dim]{time.monotonic() - started_at:6.1f} s[/dim]  {line}")

        report = start_stack(options, migrate=migrate_all, log=log)
    elapsed_s = round(time.monotonic() - started_at, 1)
    if as_json:
        print_json({"seconds": elapsed_s, "steps": report.seconds, "settings": report.settings.masked()})
        return
    console.print(f"[bold]ready[/bold] in {elapsed_s} s")
    if report.settings.dagster_webserver_url:
        console.print(f"Dagster's UI: {mask_url(report.settings.dagster_webserver_url)}")


@click.command()
@_DATA_DIR
def down(data_dir: Path | None) -> None:
    """Stop every process of the local stack, and keep its data."""
    stopped = stop_stack(data_dir or load_settings().data_dir, log=lambda _: None)
    click.echo("stopped" if stopped else "nothing was running")
