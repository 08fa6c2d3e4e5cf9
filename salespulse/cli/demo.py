"""`salespulse demo`: start everything on real sales, on the embedded servers."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from dashboard_api.auth import issue_token
from dbconnect import Settings, load_settings
from dbsql import query
from local_stack.stack import StackOptions, down, up
from pipelines.refresh import RefreshOptions, connect_route, open_connections
from pipelines.refresh.observe import SourceObservation
from pipelines.verification import verify
from salespulse.cli.output import print_json, progress_bar, stop_on_signals
from salespulse.cli.stack import NICE_VALUES, supervised_commands
from salespulse.cli.token import find_tenant
from salespulse.demo import (
    OTHER_TENANT_NAME,
    DemoFigures,
    prepare_sales,
    prepare_schema,
    totals_that_differ,
    wait_until_drained,
)
from sample_app.online_retail import TENANT_NAME
from sample_app.traffic import TrafficReport, run_traffic

_TOKEN_S = 24 * 3600.0
# The real sales end in December 2011; live ones are of today, a few late and edited ones apart.
_DASHBOARDS = (
    (f"{TENANT_NAME}, 2011", TENANT_NAME, "?from=2011-11-10&to=2011-12-09"),
    (f"{TENANT_NAME}, live", TENANT_NAME, ""),
    (f"{OTHER_TENANT_NAME}, live", OTHER_TENANT_NAME, ""),
)


@click.command()
@click.option("--check", is_flag=True, help="No UI; end by itself, verify, exit 1 if any total differs.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Sales a second."
)
@click.option(
    "--for", "seconds", type=click.FloatRange(1), default=20.0, show_default=True, help="--check: of traffic."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout.")
def demo(check: bool, rate: float, seconds: float, as_json: bool) -> None:
    """Start the stack, load real sales, backfill, make live traffic; Dagster keeps the dashboards exact.

    Runs until Ctrl-C, then stops everything it started; the data stay in SALESPULSE_DATA_DIR. With --check it runs in a
    directory of its own, which it removes.
    """
    console = Console(stderr=True, highlight=False)
    with stop_on_signals() as stop, _data_dir(check=check) as data_dir:
        demonstration = _Demonstration(console, stop, data_dir, rate=rate, with_ui=not check)
        try:
            demonstration.start()
            if check:
                demonstration.check(seconds)
            else:
                demonstration.play()
        finally:
            console.print("stopping the stack")
            down(data_dir, log=lambda _: None)
    figures = demonstration.figures
    if as_json:
        print_json(figures.__dict__ | {"is_exact": figures.is_exact} if check else figures.__dict__)
    elif check:
        _print_figures(console, figures)
    for difference in figures.differences:
        console.print(f"[red]{difference}[/red]")
    if check:
        sys.exit(0 if figures.is_exact else 1)


class _Demonstration:
    """One demonstration, from start to end."""

    def __init__(self, console: Console, stop: threading.Event, data_dir: Path, *, rate: float, with_ui: bool) -> None:
        self._console = console
        self._stop = stop
        self._data_dir = data_dir
        self._rate = rate
        self._with_ui = with_ui
        self._started_at = time.monotonic()
        self._settings = load_settings(data_dir=data_dir)
        self.figures = DemoFigures()

    def start(self) -> None:
        """Bring everything up to the first exact dashboards."""
        options = StackOptions(
            data_dir=self._data_dir, with_ui=self._with_ui, commands=supervised_commands(), nice_values=NICE_VALUES
        )
        report = up(options, migrate=prepare_schema, log=self._say)
        self._settings = report.settings
        self.figures.ready_s = round(time.monotonic() - self._started_at, 1)
        self._say("every server is ready")
        with progress_bar("loading", hidden=False) as bar:
            self.figures.load = prepare_sales(
                self._settings, say=self._say, progress=lambda what, done, total: bar(done, total or None, what)
            )
        self._backfill()

    def check(self, seconds: float) -> None:
        """Published totals, live traffic for some seconds, drained by Dagster's runs, then everything verified."""
        self._drained("waiting for Dagster to have nothing left")
        self.figures.published, self.figures.differences = totals_that_differ(self._settings, published=True)
        self._say(f"published totals: {self.figures.published}")
        self._say(f"live traffic at {self._rate:g} a second for {seconds:g} s")
        with self._traffic() as report:
            self._stop.wait(seconds)
        self.figures.traffic = report().as_dict()
        self._drained("waiting for the sensor's runs to apply the traffic")
        self.figures.differences += totals_that_differ(self._settings, published=False)[1]
        self._say("verifying everything")
        with open_connections(self._settings) as connections:
            verification = verify(connections, RefreshOptions.from_settings(self._settings))
            counted = connections.warehouse.execute(query("state.count_refreshes")).fetchone()
            self.figures.refreshes = counted["refreshes"] if counted is not None else 0
        self.figures.verification = verification.as_document()

    def play(self) -> None:
        """Live traffic until somebody stops it."""
        with self._traffic():
            self._console.print()
            for name, url in _urls(self._settings):
                self._console.print(f"  {name:<22} {url}", soft_wrap=True)
            self._console.print(
                f"\nLive sales at {self._rate:g} a second; a sensor starts refreshes. Try `salespulse status` and "
                "`salespulse verify`. Ctrl-C stops everything."
            )
            while not self._stop.wait(1.0):
                pass

    def _say(self, line: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._started_at:6.1f} s[/dim]  {line}")

    def _backfill(self) -> None:
        """Show the progress of the sensor's run that fills the empty tables."""
        self._say("Dagster's sensor has found sales: its run backfills facts and rollups")
        started = time.perf_counter()
        peak = 0
        with progress_bar("backfilling", hidden=False) as bar:

            def watch(seen: SourceObservation) -> None:
                nonlocal peak
                self._abort_if_stopped()
                peak = max(peak, seen.queued_documents)
                if peak:
                    bar(peak - seen.queued_documents, peak, "backfilling documents")

            wait_until_drained(self._settings, watch=watch)
        took = time.perf_counter() - started
        with connect_route(self._settings.url("warehouse_url"), "warehouse") as warehouse:
            counted = warehouse.execute(query("demo.facts")).fetchone() or {}
        self.figures.backfill = {**counted, "seconds": round(took, 2), "lines_per_s": round(counted["lines"] / took)}
        self._say(
            f"{counted['documents']:,} documents, {counted['lines']:,} lines in {took:.1f} s, the run's start included"
        )

    def _drained(self, text: str) -> None:
        self._say(text)

        def watch(seen: SourceObservation) -> None:
            del seen
            self._abort_if_stopped()

        wait_until_drained(self._settings, watch=watch)

    def _abort_if_stopped(self) -> None:
        if self._stop.is_set():
            raise click.Abort

    @contextmanager
    def _traffic(self) -> Iterator[Callable[[], TrafficReport]]:
        """Make traffic in a thread while the context lasts; yields a function that returns the report afterwards."""
        stop = threading.Event()
        reports: list[TrafficReport] = []
        thread = threading.Thread(
            target=lambda: reports.append(
                run_traffic(self._settings.url("application_url"), rate_per_s=self._rate, seed=1, sessions=4, stop=stop)
            ),
            name="traffic",
        )
        thread.start()
        try:
            yield lambda: reports[0]
        finally:
            stop.set()
            thread.join()


@contextmanager
def _data_dir(*, check: bool) -> Iterator[Path]:
    base = load_settings().data_dir
    if not check:
        yield base
        return
    # Not mkdtemp: its mode would keep PostgreSQL's unprivileged account out.
    directory = base.with_name(f"{base.name}-check-{os.getpid()}")
    try:
        yield directory
    finally:
        # Where the servers' account can't enter this place, their data lie elsewhere, behind a link.
        shutil.rmtree((directory / "servers").resolve(), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def _urls(settings: Settings) -> list[tuple[str, str]]:
    """The pages, each dashboard with a token of its tenant for the day."""
    urls = [("Dagster's UI", settings.dagster_webserver_url or "")]
    base = f"http://{settings.api_host}:{settings.api_port}"
    for name, tenant, dates in _DASHBOARDS:
        tenant_id, _ = find_tenant(settings, tenant)
        token = issue_token(
            settings, tenant_id=tenant_id, subject="demo", role="owner", currency="GBP", valid_s=_TOKEN_S
        )
        urls.append((name, f"{base}/{dates}#token={token}"))
    return urls


def _print_figures(console: Console, figures: DemoFigures) -> None:
    for name, value in figures.__dict__.items():
        if value:
            console.print(f"  {name:<14} {value}")
