"""`salespulse heartbeat` and `salespulse bridge`: the processes that an installation keeps running beside Dagster."""

import logging
import os
import warnings
from pathlib import Path

import click

from dbconnect import SettingsError, load_settings
from dbconnect.error_mapping import mapped_errors
from dbconnect.errors import UnavailableError
from dbconnect.routes import connect_route
from dbsql import query
from salespulse.cli.output import stop_on_signals


@click.command()
@click.option("--every", "period_s", type=click.FloatRange(0.05, 60), default=1.0, show_default=True, help="Seconds.")
def heartbeat(period_s: float) -> None:
    """Write the heartbeat row on the primary until SIGTERM or Ctrl-C; continues after an outage.

    Its age on a replica bounds the replica's staleness.
    """
    url = load_settings().url("primary_url")
    with stop_on_signals() as stop:
        while not stop.is_set():
            try:
                with connect_route(url, "heartbeat") as primary, mapped_errors("writing the heartbeat"):
                    while not stop.is_set():
                        primary.execute(query("source.beat"))
                        stop.wait(period_s)
            except UnavailableError as error:
                click.echo(f"{error}; retrying", err=True)
                stop.wait(period_s)


@click.command()
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Dagster's workspace file [workspace.yaml in Dagster's home].",
)
@click.option("--no-listen", is_flag=True, help="Only poll Dagster's event log.")
def bridge(workspace: Path | None, no_listen: bool) -> None:
    """Submit background jobs to Dagster and follow their runs, until SIGTERM or Ctrl-C.

    Several may run at once. Needs neither Dagster's daemon nor its webserver; continues after an outage of any server.
    """
    # Dagster takes a second to import.
    import dagster as dg  # noqa: PLC0415

    from background_jobs.dagster_bridge.service import BridgeService  # noqa: PLC0415

    # With a stack trace each time; the dispatcher says what jobs wait for.
    warnings.filterwarnings("ignore", message="Error loading repository location")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    if settings.dagster_home is not None:
        os.environ.setdefault("DAGSTER_HOME", str(settings.dagster_home.absolute()))
    home = os.environ.get("DAGSTER_HOME")
    if home is None:
        raise SettingsError("SALESPULSE_DAGSTER_HOME is not set: name Dagster's instance directory")
    with stop_on_signals() as stop, dg.DagsterInstance.get() as instance:
        BridgeService(settings, workspace or Path(home) / "workspace.yaml", instance, listens=not no_listen).run(stop)
    # Threads that hang in a server's answer must not keep the process alive.
    logging.shutdown()
    os._exit(0)
