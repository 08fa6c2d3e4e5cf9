"""`salespulse status`: how fresh the dashboards are, and why."""

from typing import Any

import click

from dbconnect import SalespulseError, Settings, load_settings
from dbconnect.error_mapping import mapped_errors
from dbsql import query
from local_stack.status import stack_status
from pipelines.refresh import connect_route, open_connections
from pipelines.refresh.observe import observe_source
from salespulse.cli.output import print_table
from salespulse.cli.root import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def status(as_json: bool) -> None:
    """Show freshness, lag in bytes and seconds, what is pending, the watermark, the last refreshes, and the stack."""
    document = status_document(load_settings())
    if as_json:
        print_json(document)
        return
    for section, content in document.items():
        if isinstance(content, dict):
            print_table([{"": name, section: value} for name, value in content.items()])
        elif isinstance(content, list):
            print_table(content, title=section)
        elif content:
            click.echo(f"{section}: {content}")


def status_document(settings: Settings) -> dict[str, Any]:
    """Gather what there is to say; a server that is away is said, not raised."""
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
