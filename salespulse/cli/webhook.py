"""`salespulse webhook`: endpoints that are notified of a tenant's jobs, their deliveries, and hooks that start jobs."""

from uuid import UUID

import click

from background_jobs import webhooks
from background_jobs.webhooks import target_policy
from dbconnect import load_settings
from dbconnect.routes import PIPELINE_WRITE, Row
from salespulse.cli.output import JSON_OPTION, age, print_json, print_table
from salespulse.cli.token import find_tenant
from salespulse.cli.webhook_hook import hook

_DEFAULT_OVERLAP_HOURS = 24.0


@click.group()
def webhook() -> None:
    """Notify other systems of a tenant's jobs, and let them start jobs."""


webhook.add_command(hook)


@webhook.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option(
    "--url", required=True, help="Where to send, over https and to a public address unless the settings allow more."
)
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(webhooks.EVENT_TYPES),
    help="An event to send; repeatable [all].",
)
@JSON_OPTION
def create(tenant: str, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Create an endpoint and show its secret, once."""
    settings = load_settings()
    tenant_id, _ = find_tenant(settings, tenant)
    with PIPELINE_WRITE.connect(settings) as connection:
        endpoint_id, secret = webhooks.create_endpoint(
            connection, tenant_id, url, policy=target_policy(settings), event_types=events
        )
    if as_json:
        print_json({"endpoint_id": endpoint_id, "tenant_id": tenant_id, "url": url, "secret": secret})
        return
    click.echo(f"endpoint {endpoint_id}; the receiver verifies with this secret, which is shown only once:\n{secret}")


@webhook.command("list")
@click.option("--tenant", help="Of one tenant: its id in the application, or its name.")
@JSON_OPTION
def list_endpoints(tenant: str | None, as_json: bool) -> None:
    """List endpoints with counts of their deliveries; never a secret."""
    settings = load_settings()
    tenant_id = None if tenant is None else find_tenant(settings, tenant)[0]
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = webhooks.list_endpoints(connection, tenant_id)
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            {
                "id": row["endpoint_id"],
                "tenant": row["tenant_name"] or row["tenant_id"],
                "url": row["url"],
                "events": ", ".join(row["event_types"] or ["all"]),
                "state": "enabled" if row["is_enabled"] else f"disabled: {row['disabled_reason']}",
                **{name: row[name] for name in ("pending", "delivered", "failed")},
            }
            for row in rows
        ]
    )


@webhook.command()
@click.argument("endpoint_id", type=int)
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=_DEFAULT_OVERLAP_HOURS,
    show_default=True,
    help="How long the previous secret signs as well.",
)
@JSON_OPTION
def rotate(endpoint_id: int, overlap_hours: float, as_json: bool) -> None:
    """Give an endpoint a new secret and show it, once."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        secret, until = webhooks.rotate_secret(connection, endpoint_id, overlap_s=overlap_hours * 3600)
    if as_json:
        print_json({"endpoint_id": endpoint_id, "secret": secret, "previous_secret_until": until})
        return
    click.echo(
        f"endpoint {endpoint_id}; the previous secret signs as well until {until:%Y-%m-%d %H:%M} UTC. The new one:\n{secret}"
    )


@webhook.command()
@click.argument("endpoint_id", type=int)
def enable(endpoint_id: int) -> None:
    """Send to an endpoint again; pending deliveries go first."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.enable_endpoint(connection, endpoint_id)
    click.echo(f"endpoint {endpoint_id} is enabled")


@webhook.command()
@click.argument("endpoint_id", type=int)
@click.option("--reason", default="by hand", show_default=True, help="Shown in the list.")
def disable(endpoint_id: int, reason: str) -> None:
    """Stop sending to an endpoint; pending deliveries stay, new events are not recorded for it."""
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
@JSON_OPTION
def deliveries(endpoint_id: int | None, job_id: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show deliveries and their answers, newest first."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        rows = webhooks.list_deliveries(connection, endpoint_id=endpoint_id, job_id=job_id, state=state, limit=limit)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        # Ids must be whole to be of use, whatever the terminal's width.
        click.echo(
            f"{row['delivery_id']}  endpoint {row['endpoint_id']}  job {row['job_id']}  {row['event_type']}  {row['state']}"
            f"  {row['attempts']} attempts, the last answered {_last_answer(row)}, next {age(row['next_attempt_at'])}"
        )


@webhook.command()
@click.argument("delivery_id", type=click.UUID)
def redeliver(delivery_id: UUID) -> None:
    """Send a delivery again at once, whatever its state; a disabled endpoint must be enabled first."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        webhooks.redeliver(connection, delivery_id)
    click.echo(f"delivery {delivery_id} is due")


def _last_answer(row: Row) -> str:
    return str(row["last_error"] or row["last_status"] or "-")
