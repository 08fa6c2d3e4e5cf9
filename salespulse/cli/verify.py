"""`salespulse verify` and `repair`."""

import sys
from datetime import UTC, datetime, timedelta

import click

from dbconnect import load_settings
from pipelines.refresh import RefreshOptions, open_connections
from pipelines.verification import VerificationReport
from pipelines.verification import verify as run_verify
from pipelines.verification.date_ranges import DateRange
from salespulse.cli.output import JSON_OPTION, print_json, progress_bar

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_FROM = click.option("--from", "from_day", type=_DAY, help="First business date [the oldest].")
_TO = click.option("--to", "to_day", type=_DAY, help="Last business date, inclusive.")
_LAST = click.option("--days", type=click.IntRange(1), help="This many last days, instead of --from.")


@click.command()
@_FROM
@_TO
@_LAST
@JSON_OPTION
def verify(from_day: datetime | None, to_day: datetime | None, days: int | None, as_json: bool) -> None:
    """Compare facts and rollups with SQL over the sales, in one snapshot; exit code 1 when anything differs."""
    report = _run(from_day, to_day, days, repair=False, as_json=as_json)
    _print(report, as_json=as_json)
    sys.exit(0 if report.is_exact else 1)


@click.command()
@_FROM
@_TO
@_LAST
@JSON_OPTION
def repair(from_day: datetime | None, to_day: datetime | None, days: int | None, as_json: bool) -> None:
    """Verify, and repair what differs: facts from the source, then the rollups' rows from the facts."""
    report = _run(from_day, to_day, days, repair=True, as_json=as_json)
    _print(report, as_json=as_json)


def _run(
    from_day: datetime | None, to_day: datetime | None, days: int | None, *, repair: bool, as_json: bool
) -> VerificationReport:
    settings = load_settings()
    from_date = from_day.date() if from_day else None
    if days is not None:
        from_date = datetime.now(UTC).date() - timedelta(days=days)
    with open_connections(settings) as connections, progress_bar("verifying", hidden=as_json) as bar:

        def moved(window: DateRange, number: int, total: int) -> None:
            bar(number, total, f"verifying {window.month:%Y-%m}")

        return run_verify(
            connections,
            RefreshOptions.from_settings(settings),
            from_date=from_date,
            to_date=to_day.date() if to_day else None,
            repair=repair,
            progress=moved,
        )


def _print(report: VerificationReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.as_document())
        return
    for kind, key in report.drifted_documents:
        click.echo(f"facts differ: {kind} {key}")
    for row in report.drifted_rows:
        click.echo(str(row))
    differences = f"{report.drifted_document_count:,} documents and {report.drifted_row_count:,} rollup rows"
    outcome = f"repaired {differences}" if report.repaired else f"{differences} differ"
    click.echo(
        f"{report.documents:,} documents, {report.lines:,} lines, {report.from_date} to {report.to_date}: "
        f"{'no differences' if report.is_exact else outcome} ({report.seconds:.2f} s)"
    )
