"""`salespulse webhook`: who is told of a tenant's jobs, what became of each message, and hooks that start jobs."""

from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.table import Table

from background_jobs import webhooks
from background_jobs.webhooks import target_policy
from dbconnect import load_settings
from dbconnect.routes import PIPELINE_WRITE, Row
from salespulse.cli.root import print_json
from salespulse.cli.token import find_tenant
from salespulse.cli.webhook_hook import hook

_DEFAULT_OVERLAP_HOURS = 24.0


@click.group()
def webhook() -> None:
    """Tell other systems of a tenant's jobs, and let them start jobs."""


webhook.add_command(hook)


@webhook.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option(
    "--url", required=True, help="Where to, over https and to a public address unless the settings allow more."
)
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(webhooks.EVENT_TYPES),
    help="An event to tell of; may be repeated; all unless given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def create(tenant: str, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Make an endpoint and show its secret: this once."""
    settings = load_settings()
    tenant_id, _ = find_tenant(settings, tenant)
    with PIPELINE_WRITE.connect(settings) as connection:
        endpoint_id, secret = webhooks.create_endpoint(
            connection, tenant_id, url, policy=target_policy(settings), event_types=events
        )
    if as_json:
        print_json({"endpoint_id": endpoint_id, "tenant_id": tenant_id, "url": url, "secret": secret})
        return
    click.echo(f"endpoint {endpoint_id}; the receiver verifies with this secret, which is shown this once:\n{secret}")


@webhook.command("list")
@click.option("--tenant", help="Of one tenant: its id in the application, or its name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def list_endpoints(tenant: str | None, as_json: bool) -> None:
    """List endpoints with counts of their deliveries; never a secret."""
    settings = load_settings()
    tenant_id = None if tenant is None else find_tenant(settings, tenant)[0]
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = webhooks.list_endpoints(connection, tenant_id)
    if as_json:
        print_json(rows)
        return
    table = Table("id", "tenant", "url", "events", "state", "pending", "delivered", "failed")
    for row in rows:
        table.add_row(
            str(row["endpoint_id"]),
            row["tenant_name"] or row["tenant_id"],
            row["url"],
            ", ".join(row["event_types"] or ["all"]),
            "enabled" if row["is_enabled"] else f"disabled: {row['disabled_reason']}",
            *(str(row[name]) for name in ("pending", "delivered", "failed")),
        )
    Console().print(table)


@webhook.command()
@click.argument("endpoint_id", type=int)
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=_DEFAULT_OVERLAP_HOURS,
    show_default=True,
    help="How long the secret so far signs as well.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def rotate(endpoint_id: int, overlap_hours: float, as_json: bool) -> None:
    """Give an endpoint a new secret and show it: this once."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        secret, until = webhooks.rotate_secret(connection, endpoint_id, overlap_s=overlap_hours * 3600)
    if as_json:
        print_json({"endpoint_id": endpoint_id, "secret": secret, "previous_secret_until": until})
        return
    click.echo(
        f"endpoint {endpoint_id}; the secret so far signs as well until {until:%Y-%m-%d %H:%M} UTC. The new one:\n{secret}"
    )


@webhook.command()
@click.argument("endpoint_id", type=int)
def enable(endpoint_id: int) -> None:
    """Send to an endpoint again; what waited goes first."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.enable_endpoint(connection, endpoint_id)
    click.echo(f"endpoint {endpoint_id} is enabled")


@webhook.command()
@click.argument("endpoint_id", type=int)
@click.option("--reason", default="by hand", show_default=True, help="Why, for who reads the list.")
def disable(endpoint_id: int, reason: str) -> None:
    """Send nothing more to an endpoint; what waits stays, new events are not kept for it."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.disable_endpoint(connection, endpoint_id, reason=reason)
    click.echo(f"endpoint {endpoint_id} is disabled")


@webhook.command()
@click.argument("endpoint_id", type=int)
def remove(endpoint_id: int) -> None:
    """Delete an endpoint with the log of its deliveries."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.remove_endpoint(connection, endpoint_id)
    click.echo(f"endpoint {endpoint_id} is removed")


@webhook.command()
@click.option("--endpoint", "endpoint_id", type=int, help="Of one endpoint.")
@click.option("--job", "job_id", help="Of one job.")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed"]), help="In one state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def deliveries(endpoint_id: int | None, job_id: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the log, the newest first: what was sent, and what was answered."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        rows = webhooks.list_deliveries(connection, endpoint_id=endpoint_id, job_id=job_id, state=state, limit=limit)
    if as_json:
        print_json(rows)
        return
    table = Table("delivery", "endpoint", "job", "event", "state", "attempts", "last answer", "next")
    for row in rows:
        table.add_row(
            str(row["delivery_id"]),
            str(row["endpoint_id"]),
            row["job_id"],
            row["event_type"],
            row["state"],
            str(row["attempts"]),
            _last_answer(row),
            _moment(row["next_attempt_at"]),
        )
    Console().print(table)


@webhook.command()
@click.argument("delivery_id", type=click.UUID)
def redeliver(delivery_id: UUID) -> None:
    """Send a delivery again at once, whatever became of it; an endpoint that is disabled must be enabled first."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.redeliver(connection, delivery_id)
    click.echo(f"delivery {delivery_id} is due")


def _last_answer(row: Row) -> str:
    return str(row["last_error"] or row["last_status"] or "-")


def _moment(value: Any) -> str:
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"
