"""`salespulse refresh`, `backfill`, `rebuild`: the same engine that Dagster runs, by hand."""

from datetime import date, datetime

import click

from dbconnect import load_settings
from pipelines.refresh import (
    RefreshOptions,
    RefreshResult,
    all_rollups,
    enqueue_range,
    open_connections,
    restart_history,
    rollup_named,
)
from pipelines.refresh import refresh as run_refresh
from pipelines.refresh.backfill_queue import FIRST_DATE, LAST_DATE
from pipelines.verification import rebuild_rollup
from salespulse.cli.output import Bar, progress_bar
from salespulse.cli.root import print_json

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.option(
    "--drain", "drain_s", type=click.FloatRange(0), default=0.0, help="Keep looking for new changes this many seconds."
)
@_JSON
def refresh(drain_s: float, as_json: bool) -> None:
    """Apply what changed in the source to facts and rollups, until nothing is pending."""
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    with open_connections(settings) as connections, progress_bar("refreshing", hidden=as_json) as bar:
        result = run_refresh(
            connections,
            options,
            drain_s=drain_s,
            progress=lambda so_far: _move(bar, so_far),
        )
    _report(result, as_json=as_json)


@click.command()
@click.option("--from", "from_day", type=_DAY, help="First business date; all of history unless given.")
@click.option("--to", "to_day", type=_DAY, help="Last business date, inclusive.")
@_JSON
def backfill(from_day: datetime | None, to_day: datetime | None, as_json: bool) -> None:
    """Apply every sale of a range anew, in bounded batches; may be stopped, resumed and repeated."""
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    with open_connections(settings) as connections, progress_bar("backfilling", hidden=as_json) as bar:
        from_date, to_date = _day(from_day, FIRST_DATE), _day(to_day, LAST_DATE)
        # The first refresh ever queues all of history by itself.
        run_refresh(connections, options, progress=lambda so_far: _move(bar, so_far))
        enqueued = enqueue_range(
            connections,
            options.mapping,
            from_date=from_date,
            to_date=to_date,
            reason="backfill",
            is_whole=from_day is None and to_day is None,
        )
        bar(0, enqueued, f"backfilling {enqueued:,} documents")
        result = run_refresh(connections, options, progress=lambda so_far: _move(bar, so_far))
    _report(result, as_json=as_json)


@click.command()
@click.option("--new-source", is_flag=True, required=True, help="Say that the application moved to another cluster.")
@_JSON
def reconcile(new_source: bool, as_json: bool) -> None:
    """Accept another cluster as the source: take a new watermark, compare every document of source and facts again.

    A failover within the same cluster is noticed and reconciled by every refresh; this is for a source that was moved.
    """
    del new_source
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    with open_connections(settings) as connections, progress_bar("reconciling", hidden=as_json) as bar:
        restart_history(connections, options, reason="the source was moved to another cluster, said an operator")
        result = run_refresh(connections, options, progress=lambda so_far: _move(bar, so_far))
    _report(result, as_json=as_json)


@click.command()
@click.argument("rollup", type=str)
@_JSON
def rebuild(rollup: str, as_json: bool) -> None:
    """Set every row of ROLLUP (or of "all") to what its SQL gives over the facts, without a gap for readers."""
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    chosen = all_rollups() if rollup == "all" else (rollup_named(rollup),)
    written = {}
    with open_connections(settings) as connections, progress_bar("rebuilding", hidden=as_json) as bar:
        for item in chosen:
            months = 0

            def moved(month: date, last: date, name: str = item.name) -> None:
                nonlocal months
                months += 1
                left = (last.year - month.year) * 12 + last.month - month.month
                bar(months, months + left, f"rebuilding {name}")

            written[item.name] = rebuild_rollup(connections, options, item, progress=moved)
    if as_json:
        print_json({"rows_written": written})
        return
    for name, rows in written.items():
        click.echo(f"{name}: {rows:,} rows were set right" if rows else f"{name}: was exact")


def _day(value: datetime | None, otherwise: date) -> date:
    return otherwise if value is None else value.date()


def _move(bar: Bar, so_far: RefreshResult) -> None:
    done = so_far.applied.documents
    bar(done, done + so_far.pending_documents)


def _report(result: RefreshResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.as_document())
        return
    for reason in result.reconciled:
        click.echo(f"history was rewritten ({reason}): every document was looked at again")
    rows = sum(result.applied.rows_written.values())
    seconds = sum(result.seconds.values())
    click.echo(
        f"{result.applied.documents:,} documents, {result.applied.lines:,} lines, {rows:,} rows written, "
        f"{result.applied.quarantined:,} in quarantine, as of {result.as_of}, in {seconds:.2f} s"
    )
