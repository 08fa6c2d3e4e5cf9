"""`salespulse webhook hook`: addresses at which another system may start a tenant's job."""

import json
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

from background_jobs.webhooks import WebhookUsageError
from background_jobs.webhooks.inbound import create_hook, list_hooks, revoke_hook, rotate_hook_secret
from dbconnect import Settings, load_settings
from dbconnect.routes import PIPELINE_WRITE
from salespulse.cli.root import print_json
from salespulse.cli.token import find_tenant


@click.group()
def hook() -> None:
    """Addresses at which another system may start a tenant's job."""


@hook.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option("--kind", default="refresh_sales_summary", show_default=True, help="The job that a call starts.")
@click.option("--name", required=True, help="What the hook is for.")
@click.option("--params", default="{}", show_default=True, help="The job's parameters, a JSON object.")
@click.option(
    "--secret-file",
    type=click.File(encoding="utf-8"),
    help="Holds the secret (whsec_…) where the other system makes it; - reads stdin. A new one unless given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def create(tenant: str, kind: str, name: str, params: str, secret_file: TextIO | None, as_json: bool) -> None:
    """Make a hook and show its address and secret: this once."""
    settings = load_settings()
    tenant_id, _ = find_tenant(settings, tenant)
    secret = secret_file.read().strip() if secret_file else None
    with PIPELINE_WRITE.connect(settings) as connection:
        made = create_hook(connection, tenant_id, kind, name=name, params=_object(params), secret=secret)
    url = _url(settings, made.token)
    if as_json:
        print_json({"hook_id": made.hook_id, "tenant_id": tenant_id, "url": url, "secret": made.secret})
        return
    click.echo(f"hook {made.hook_id}; address and secret are shown this once:\n{url}\n{made.secret}")


@hook.command("list")
@click.option("--tenant", help="Of one tenant: its id in the application, or its name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def list_all(tenant: str | None, as_json: bool) -> None:
    """List hooks, revoked ones too; never an address or a secret."""
    settings = load_settings()
    tenant_id = None if tenant is None else find_tenant(settings, tenant)[0]
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = list_hooks(connection, tenant_id)
    if as_json:
        print_json(rows)
        return
    table = Table("id", "tenant", "name", "kind", "params", "created", "revoked")
    for row in rows:
        moments = [f"{row[name]:%Y-%m-%d %H:%M}" if row[name] else "" for name in ("created_at", "revoked_at")]
        table.add_row(
            str(row["hook_id"]),
            row["tenant_name"] or row["tenant_id"],
            row["name"],
            row["kind"],
            json.dumps(row["params"]),
            *moments,
        )
    Console().print(table)


@hook.command()
@click.argument("hook_id", type=int)
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="How long calls signed by the secret so far are taken.",
)
@click.option(
    "--secret-file", type=click.File(encoding="utf-8"), help="Holds the new secret; - reads stdin. Made unless given."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def rotate(hook_id: int, overlap_hours: float, secret_file: TextIO | None, as_json: bool) -> None:
    """Give a hook another secret and show it: this once."""
    given = secret_file.read().strip() if secret_file else None
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        secret, until = rotate_hook_secret(connection, hook_id, overlap_s=overlap_hours * 3600, secret=given)
    if as_json:
        print_json({"hook_id": hook_id, "secret": secret, "previous_secret_until": until})
        return
    click.echo(f"hook {hook_id}; the secret so far is taken until {until:%Y-%m-%d %H:%M} UTC. The new one:\n{secret}")


@hook.command()
@click.argument("hook_id", type=int)
def revoke(hook_id: int) -> None:
    """End a hook; running APIs know at once."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        revoke_hook(connection, hook_id)
    click.echo(f"hook {hook_id} is revoked")


def _url(settings: Settings, token: str) -> str:
    return f"http://{settings.api_host}:{settings.api_port}/api/hooks/{token}"


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WebhookUsageError(f"--params is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WebhookUsageError("--params must be a JSON object, such as {}")
    return found
