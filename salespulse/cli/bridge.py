"""`salespulse bridge`: the process between the job store and Dagster."""

import logging
import os
import signal
import threading
import warnings
from pathlib import Path
from types import FrameType

import click

from dbconnect import SettingsError, load_settings


@click.command()
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Dagster's workspace file [workspace.yaml in Dagster's home].",
)
@click.option("--no-listen", is_flag=True, help="Only poll Dagster's event log.")
def bridge(workspace: Path | None, no_listen: bool) -> None:
    """Hand background jobs to Dagster and follow their runs, until SIGTERM or Ctrl-C.

    Several may run at once. Needs neither Dagster's daemon nor its webserver to be up; goes on after an outage of anything.
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
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with dg.DagsterInstance.get() as instance:
        BridgeService(settings, workspace or Path(home) / "workspace.yaml", instance, listens=not no_listen).run(stop)
    # Threads that hang in a server's answer must not keep the process.
    logging.shutdown()
    os._exit(0)
