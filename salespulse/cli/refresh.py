"""`salespulse refresh`, `backfill`, `rebuild`: the same engine that Dagster runs, by hand."""

from datetime import date, datetime

import click

from dbconnect import load_settings
from dbsql import FIRST_DATE, LAST_DATE
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
from pipelines.verification import rebuild_rollup
from salespulse.cli.output import JSON_OPTION, Bar, print_json, progress_bar

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.option(
    "--drain", "drain_s", type=click.FloatRange(0), default=0.0, help="Keep looking for new changes this many seconds."
)
@JSON_OPTION
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
@click.option("--from", "from_day", type=_DAY, help="First business date [all of history].")
@click.option("--to", "to_day", type=_DAY, help="Last business date, inclusive.")
@JSON_OPTION
def backfill(from_day: datetime | None, to_day: datetime | None, as_json: bool) -> None:
    """Apply every sale of a range again, in bounded batches; may be stopped, resumed and repeated."""
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
@click.option(
    "--new-source", is_flag=True, required=True, help="Confirm that the application moved to another cluster."
)
@JSON_OPTION
def reconcile(new_source: bool, as_json: bool) -> None:
    """Accept another cluster as the source: take a new watermark, and compare every document again.

    A failover within the same cluster is noticed and reconciled by every refresh; this is for a source that was moved.
    """
    del new_source
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    with open_connections(settings) as connections, progress_bar("reconciling", hidden=as_json) as bar:
        restart_history(connections, options, reason="an operator confirmed that the source moved to another cluster")
        result = run_refresh(connections, options, progress=lambda so_far: _move(bar, so_far))
    _report(result, as_json=as_json)


@click.command()
@click.argument("rollup", type=str)
@JSON_OPTION
def rebuild(rollup: str, as_json: bool) -> None:
    """Recompute every row of ROLLUP (or of "all") from the facts, while readers keep reading."""
    settings = load_settings()
    options = RefreshOptions.from_settings(settings)
    rollups = all_rollups() if rollup == "all" else (rollup_named(rollup),)
    written = {}
    with open_connections(settings) as connections, progress_bar("rebuilding", hidden=as_json) as bar:
        for item in rollups:
            months = 0

            def on_month(month: date, last: date, name: str = item.name) -> None:
                nonlocal months
                months += 1
                left = (last.year - month.year) * 12 + last.month - month.month
                bar(months, months + left, f"rebuilding {name}")

            written[item.name] = rebuild_rollup(connections, options, item, progress=on_month)
    if as_json:
        print_json({"rows_written": written})
        return
    for name, rows in written.items():
        click.echo(f"{name}: repaired {rows:,} rows" if rows else f"{name}: no differences")


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
        click.echo(f"history was rewritten ({reason}): every document was compared again")
    rows = sum(result.applied.rows_written.values())
    seconds = sum(result.seconds.values())
    click.echo(
        f"{result.applied.documents:,} documents, {result.applied.lines:,} lines, {rows:,} rows written, "
        f"{result.applied.quarantined:,} in quarantine, as of {result.as_of}, in {seconds:.2f} s"
    )
