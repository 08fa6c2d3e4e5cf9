"""`salespulse traffic`: live sales and everything that happens to them."""

import logging
import sys
import threading

import click
from rich.console import Console

from dbconnect import load_settings
from salespulse.cli.output import JSON_OPTION, print_json, print_table, stop_on_signals
from sample_app.traffic import TrafficReport, run_traffic


@click.command()
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Per second.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same operations.")
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), help="End after this many seconds.")
@click.option("--sessions", type=click.IntRange(1, 100), default=4, show_default=True, help="Connections at once.")
@JSON_OPTION
def traffic(rate: float, seed: int, seconds: float | None, sessions: int, as_json: bool) -> None:
    """Make live traffic on the application's tables until Ctrl-C, SIGTERM, or --for has passed.

    Sales, late sales, edits, status changes, returns, voids, deletes and moves, in several sessions; some transactions
    are held open, some rolled back.
    """
    url = load_settings().url("application_url")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    console = Console(stderr=True, quiet=as_json)
    with stop_on_signals() as stop, console.status("starting") as status:
        if seconds is not None:
            timer = threading.Timer(seconds, stop.set)
            timer.daemon = True
            timer.start()

        def progress(report: TrafficReport) -> None:
            status.update(_line(report))

        report = run_traffic(url, rate_per_s=rate, seed=seed, sessions=sessions, stop=stop, progress=progress)
    if as_json:
        print_json(report.as_dict())
        return
    print_table([{"operation": kind, "committed": count} for kind, count in report.counts.most_common()])
    click.echo(_line(report))


def _line(report: TrafficReport) -> str:
    rate = report.transactions / report.seconds if report.seconds else 0.0
    return (
        f"{report.transactions:,} transactions in {report.seconds:.0f} s ({rate:.1f}/s), {report.rolled_back} rolled back, "
        f"{report.held_open} held open, {report.conflicts} conflicts, {report.lost_connections} connections lost"
    )
