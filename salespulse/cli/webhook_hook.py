"""`salespulse webhook hook`: addresses at which another system may start a tenant's job."""

import json
from typing import Any, TextIO

import click

from background_jobs.webhooks import WebhookUsageError
from background_jobs.webhooks.inbound import create_hook, list_hooks, revoke_hook, rotate_hook_secret
from dbconnect import Settings, load_settings
from dbconnect.routes import PIPELINE_WRITE
from salespulse.cli.output import JSON_OPTION, print_json, print_table
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
    help="Holds the secret (whsec_…) where the other system makes it; - reads stdin. [a new one]",
)
@JSON_OPTION
def create(tenant: str, kind: str, name: str, params: str, secret_file: TextIO | None, as_json: bool) -> None:
    """Create a hook and show its address and secret, once."""
    settings = load_settings()
    tenant_id, _ = find_tenant(settings, tenant)
    secret = secret_file.read().strip() if secret_file else None
    with PIPELINE_WRITE.connect(settings) as connection:
        new_hook = create_hook(connection, tenant_id, kind, name=name, params=_object(params), secret=secret)
    url = _url(settings, new_hook.token)
    if as_json:
        print_json({"hook_id": new_hook.hook_id, "tenant_id": tenant_id, "url": url, "secret": new_hook.secret})
        return
    click.echo(f"hook {new_hook.hook_id}; address and secret are shown only once:\n{url}\n{new_hook.secret}")


@hook.command("list")
@click.option("--tenant", help="Of one tenant: its id in the application, or its name.")
@JSON_OPTION
def list_all(tenant: str | None, as_json: bool) -> None:
    """List hooks, revoked ones too; never an address or a secret."""
    settings = load_settings()
    tenant_id = None if tenant is None else find_tenant(settings, tenant)[0]
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = list_hooks(connection, tenant_id)
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            {
                "id": row["hook_id"],
                "tenant": row["tenant_name"] or row["tenant_id"],
                "name": row["name"],
                "kind": row["kind"],
                "params": json.dumps(row["params"]),
                "created": row["created_at"],
                "revoked": row["revoked_at"],
            }
            for row in rows
        ]
    )


@hook.command()
@click.argument("hook_id", type=int)
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="How long calls signed with the previous secret are accepted.",
)
@click.option(
    "--secret-file", type=click.File(encoding="utf-8"), help="Holds the new secret; - reads stdin. [a new one]"
)
@JSON_OPTION
def rotate(hook_id: int, overlap_hours: float, secret_file: TextIO | None, as_json: bool) -> None:
    """Give a hook another secret and show it, once."""
    own_secret = secret_file.read().strip() if secret_file else None
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        secret, until = rotate_hook_secret(connection, hook_id, overlap_s=overlap_hours * 3600, secret=own_secret)
    if as_json:
        print_json({"hook_id": hook_id, "secret": secret, "previous_secret_until": until})
        return
    click.echo(
        f"hook {hook_id}; the previous secret is accepted until {until:%Y-%m-%d %H:%M} UTC. The new one:\n{secret}"
    )


@hook.command()
@click.argument("hook_id", type=int)
def revoke(hook_id: int) -> None:
    """Revoke a hook; running APIs know at once."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        revoke_hook(connection, hook_id)
    click.echo(f"hook {hook_id} is revoked")


def _url(settings: Settings, token: str) -> str:
    return f"http://{settings.api_host}:{settings.api_port}/api/hooks/{token}"


def _object(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError as error:
        raise WebhookUsageError(f"--params is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise WebhookUsageError("--params must be a JSON object, such as {}")
    return params
