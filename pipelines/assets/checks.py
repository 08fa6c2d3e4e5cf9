"""Asset checks: exactness, freshness, orphan keys, quarantine.

None blocks: stopping the refresh would only add staleness.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from dbconnect import load_settings
from dbsql import query
from pipelines.assets.names import WAREHOUSE_POOL, table_key
from pipelines.assets.preview import markdown_table
from pipelines.assets.tables import FACTS, FRESHNESS
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.progress import follow_months
from pipelines.refresh import RefreshOptions, read_state
from pipelines.resources import JobReporter, Primary, Replica, Warehouse, open_routes
from pipelines.verification import VerificationReport, verify

RECENT_DAYS = 30
# Keeps an event of Dagster's log small; `salespulse verify --json` names more.
NAMES_SHOWN = 20


class VerificationRange(dg.Config):
    """Which business dates to compare, as ISO dates, both inclusive; by default the recent 30 days."""

    from_date: str | None = None
    to_date: str | None = None

    def dates(self, today: date) -> tuple[date, date]:
        """Return the first and last date.

        Raises:
            Failure: a date is not one, or the range is empty.
        """
        try:
            first = date.fromisoformat(self.from_date) if self.from_date else today - timedelta(days=RECENT_DAYS)
            # Stores east of UTC are already in tomorrow.
            last = date.fromisoformat(self.to_date) if self.to_date else today + timedelta(days=1)
        except ValueError as error:
            raise dg.Failure(f"{error}: write dates as 2026-11-23", allow_retries=False) from None
        if last < first:
            raise dg.Failure(f"to_date {last} is before from_date {first}", allow_retries=False)
        return first, last


@dg.multi_asset_check(
    name="verification",
    specs=[
        dg.AssetCheckSpec(
            "verification",
            asset=table_key(FACTS[0]),
            description=(
                "The rollups equal the same SQL over the source, in one snapshot of the replica, after what is pending "
                "there was applied. Any difference is drift; `repair_job` repairs it."
            ),
        )
    ],
    pool=WAREHOUSE_POOL,
    retry_policy=RETRIES,
)
def verification(
    context: dg.AssetCheckExecutionContext,
    config: VerificationRange,
    replica: Replica,
    warehouse: Warehouse,
    primary: Primary,
    jobs: JobReporter,
) -> dg.AssetCheckResult:
    """Fail if a rollup or a fact differs from the source; see `pipelines.verification.verify`."""
    first, last = config.dates(datetime.now(UTC).date())
    with jobs.open(context) as reporter, as_dagster_failure("verifying"):
        with open_routes(replica, warehouse, primary) as connections:
            report = verify(
                connections,
                RefreshOptions.from_settings(load_settings()),
                from_date=first,
                to_date=last,
                progress=follow_months(reporter, context.log),
            )
        reporter.result(
            {
                "is_exact": report.is_exact,
                "from_date": first.isoformat(),
                "to_date": last.isoformat(),
                "drifted_documents": report.drifted_document_count,
                "drifted_rows": report.drifted_row_count,
            }
        )
    return dg.AssetCheckResult(
        passed=report.is_exact,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "documents": report.documents,
            "lines": report.lines,
            "seconds": round(report.seconds, 3),
            "drifted_documents": report.drifted_document_count,
            "drifted_rows": report.drifted_row_count,
            "drift": dg.MetadataValue.md(format_drift(report)),
        },
    )


def format_drift(report: VerificationReport) -> str:
    """List the first drifted sales, returns and rollup rows as Markdown."""
    named = [f"- {kind} `{key}`" for kind, key in report.drifted_documents[:NAMES_SHOWN]]
    named += [f"- {row}" for row in report.drifted_rows[:NAMES_SHOWN]]
    return "\n".join(named) or "none"


@dg.asset_check(
    asset=table_key(FACTS[0]),
    name="freshness",
    description="The facts reflect the sales of the last 15 minutes (a warning past 12).",
    retry_policy=RETRIES,
)
def freshness(warehouse: Warehouse) -> dg.AssetCheckResult:
    """Compare the age of `as_of` with the freshness policy's windows."""
    with as_dagster_failure("checking the freshness"), warehouse.connect() as connection:
        state = read_state(connection)
    if state is None:
        return dg.AssetCheckResult(passed=False, description="no refresh has run yet: run refresh_job")
    age = datetime.now(UTC) - state.as_of
    warn_window, fail_window = FRESHNESS.warn_window, FRESHNESS.fail_window
    is_late = age > fail_window.to_timedelta()
    limit = warn_window or fail_window
    return dg.AssetCheckResult(
        passed=age <= limit.to_timedelta(),
        severity=dg.AssetCheckSeverity.ERROR if is_late else dg.AssetCheckSeverity.WARN,
        metadata={"age_s": round(age.total_seconds(), 3), "as_of": dg.MetadataValue.timestamp(state.as_of)},
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("orphan_keys", asset=table_key(fact), description="Every key refers to a row of its table.")
        for fact in FACTS
    ],
    name="orphan_keys",
    retry_policy=RETRIES,
)
def orphan_keys(warehouse: Warehouse) -> Iterator[dg.AssetCheckResult]:
    """Fail for a fact table with orphan keys."""
    with as_dagster_failure("counting orphan keys"), warehouse.connect() as connection:
        rows = connection.execute(query("assets.orphan_keys")).fetchall()
    for fact in FACTS:
        orphans = {row["column_name"]: row["orphans"] for row in rows if row["table_name"] == fact}
        yield dg.AssetCheckResult(
            check_name="orphan_keys", asset_key=table_key(fact), passed=not any(orphans.values()), metadata=orphans
        )


@dg.asset_check(
    asset=table_key(FACTS[0]),
    name="quarantine",
    description="No sale or return is left out of the facts because it can't be counted. It is counted once the source is corrected.",
    retry_policy=RETRIES,
)
def quarantine(warehouse: Warehouse) -> dg.AssetCheckResult:
    """Warn about documents in quarantine, by reason."""
    with as_dagster_failure("counting the quarantine"), warehouse.connect() as connection:
        rows = connection.execute(query("observe.list_quarantined")).fetchall()
    columns = ("reason", "documents", "oldest_at", "example")
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "documents": sum(row["documents"] for row in rows),
            "reasons": dg.MetadataValue.md(markdown_table(columns, ([row[name] for name in columns] for row in rows))),
        },
    )


CHECKS = (verification, freshness, orphan_keys, quarantine)
VERIFICATION_CHECKS = dg.AssetSelection.checks(verification, orphan_keys)
HEALTH_CHECKS = dg.AssetSelection.checks(freshness, quarantine)
