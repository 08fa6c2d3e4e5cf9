"""`salespulse api-key`: keys for machines that read the dashboard."""

from datetime import UTC, datetime, timedelta

import click

from dashboard_api.auth import hash_api_key, new_api_key
from dbconnect import SalespulseError, load_settings
from dbconnect.routes import PIPELINE_WRITE
from dbsql import query
from salespulse.cli.output import JSON_OPTION, print_json, print_table
from salespulse.cli.token import find_tenant


class ApiKeyNotFoundError(SalespulseError):
    """The key does not exist, or is revoked already."""


@click.group("api-key")
def api_key() -> None:
    """Create, list and revoke keys for machines."""


@api_key.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", default="viewer", show_default=True, help="The holder's role.")
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires [never].")
@JSON_OPTION
def create(tenant: str, name: str, role: str, days: int | None, as_json: bool) -> None:
    """Create a key and show it, once: only its hash is stored."""
    settings = load_settings()
    tenant_id, _ = find_tenant(settings, tenant)
    key = new_api_key()
    parameters = {
        "tenant_id": tenant_id,
        "key_hash": hash_api_key(key),
        "name": name,
        "role": role,
        "expires_at": None if days is None else datetime.now(UTC) + timedelta(days=days),
    }
    with PIPELINE_WRITE.connect(settings) as connection:
        row = connection.execute(query("dashboard.create_api_key"), parameters).fetchone()
    if as_json:
        print_json({"api_key_id": row["api_key_id"] if row else None, "tenant_id": tenant_id, "key": key})
        return
    click.echo(key)


@api_key.command("list")
@JSON_OPTION
def list_keys(as_json: bool) -> None:
    """List every key, revoked ones too; never the key itself."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        rows = connection.execute(query("dashboard.list_api_keys")).fetchall()
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            {
                "id": row["api_key_id"],
                "tenant": row["tenant_name"] or row["tenant_id"],
                "name": row["name"],
                "role": row["role"],
                "created": row["created_at"],
                "expires": row["expires_at"] or "never",
                "revoked": row["revoked_at"],
            }
            for row in rows
        ]
    )


@api_key.command()
@click.argument("api_key_id", type=int)
def revoke(api_key_id: int) -> None:
    """Revoke a key; running APIs notice within half a minute."""
    with PIPELINE_WRITE.connect(load_settings()) as connection:
        row = connection.execute(query("dashboard.revoke_api_key"), {"api_key_id": api_key_id}).fetchone()
    if row is None:
        raise ApiKeyNotFoundError(f"no valid key {api_key_id}; `salespulse api-key list` shows them")
    click.echo(f"key {api_key_id} is revoked")
