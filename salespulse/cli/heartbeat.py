"""`salespulse heartbeat`: the row whose age, seen on a replica, bounds its staleness."""

import signal
import threading
from types import FrameType

import click

from dbconnect import load_settings
from dbconnect.error_mapping import mapped_errors
from dbconnect.errors import UnavailableError
from dbsql import query
from pipelines.refresh import connect_route


@click.command()
@click.option("--every", "period_s", type=click.FloatRange(0.05, 60), default=1.0, show_default=True, help="Seconds.")
def heartbeat(period_s: float) -> None:
    """Write the heartbeat row on the primary until SIGTERM or Ctrl-C; goes on after an outage."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    url = load_settings().url("primary_url")
    while not stop.is_set():
        try:
            with connect_route(url, "heartbeat") as primary, mapped_errors("writing the heartbeat"):
                while not stop.is_set():
                    primary.execute(query("source.beat"))
                    stop.wait(period_s)
        except UnavailableError as error:
            click.echo(f"{error}; trying again", err=True)
            stop.wait(period_s)
