"""`salespulse status`: how fresh the dashboards are, and why."""

from typing import Any

import click

from dbconnect import SalespulseError, Settings, load_settings
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import connect_route
from dbsql import query
from local_stack.status import stack_status
from pipelines.refresh import open_connections
from pipelines.refresh.observe import observe_source
from salespulse.cli.output import JSON_OPTION, age, duration, print_facts, print_json, print_table


@click.command()
@JSON_OPTION
def status(as_json: bool) -> None:
    """Show freshness, lag in bytes and seconds, what is pending, the watermark, the last refreshes, and the stack."""
    document = status_document(load_settings())
    if as_json:
        print_json(document)
        return
    if "problem" in document:
        click.echo(f"problem: {document['problem']}")
    if "freshness" in document:
        print_facts(_freshness(document["freshness"]), title="freshness")
    print_table([_refresh(row) for row in document.get("last refreshes", ())], title="last refreshes")
    quarantine = document.get("quarantine", ())
    print_table(
        [
            {
                "reason": row["reason"],
                "documents": row["documents"],
                "since": row["oldest_at"],
                "such as": row["example"],
            }
            for row in quarantine
        ],
        title="quarantine",
    )
    print_table(
        [
            {
                "process": row["process"],
                "state": row["state"].lower(),
                "up for": "-" if row["uptime_s"] is None else duration(row["uptime_s"]),
                "message": "" if row["uptime_s"] is not None else row["said"],
            }
            for row in document["stack"]
        ],
        title="stack",
    )


def status_document(settings: Settings) -> dict[str, Any]:
    """Gather what there is to say; a server that is down is reported, not raised."""
    document: dict[str, Any] = {}
    processes = [
        {"process": item.name, "state": item.state, "pid": item.pid, "uptime_s": item.uptime_s, "said": item.detail}
        for item in stack_status(settings.data_dir)
    ]
    try:
        with open_connections(settings) as connections:
            seen = observe_source(connections)
        document["freshness"] = {
            "as_of": seen.as_of,
            "staleness_s": seen.staleness_s,
            "pending_changes": seen.pending_changes,
            "queued_documents": seen.queued_documents,
            "quarantined_documents": seen.quarantined_documents,
            "watermark": seen.horizon,
            "replica_lag_bytes": seen.lag_bytes,
            "replica_lag_s": seen.lag_s,
            "reads_a_replica": seen.is_replica,
        }
    except SalespulseError as error:
        document["problem"] = str(error)
    try:
        with (
            connect_route(settings.url("warehouse_url"), "warehouse") as warehouse,
            mapped_errors("reading the warehouse"),
        ):
            document["last refreshes"] = warehouse.execute(query("state.last_refreshes"), {"row_limit": 5}).fetchall()
            document["quarantine"] = warehouse.execute(query("observe.list_quarantined")).fetchall()
    except SalespulseError as error:
        document.setdefault("problem", str(error))
    document["stack"] = processes
    return document


def _freshness(values: dict[str, Any]) -> dict[str, Any]:
    lag_bytes, lag_s = values["replica_lag_bytes"], values["replica_lag_s"]
    return {
        "data as of": age(values["as_of"]) if values["as_of"] else "no refresh yet",
        "not applied yet": f"{values['pending_changes']:,} changes, {values['queued_documents']:,} queued documents",
        "in quarantine": f"{values['quarantined_documents']:,} documents",
        "reads": "the replica" if values["reads_a_replica"] else "the primary",
        "replica lag": None if lag_bytes is None else f"{lag_bytes:,} bytes" + _seconds(lag_s),
        "watermark": values["watermark"],
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f", {duration(value)}"


def _refresh(row: dict[str, Any]) -> dict[str, Any]:
    finished_at = row["finished_at"]
    return {
        "refresh": row["refresh_id"],
        "finished": age(finished_at),
        "took": "-" if finished_at is None else duration((finished_at - row["started_at"]).total_seconds()),
        "documents": row["changed_documents"],
        "rows": row["rows_written"],
    }
