"""`salespulse token`: a credential for the dashboard of the local stack."""

import click

from dashboard_api.auth import issue_token
from dbconnect import SalespulseError, Settings, load_settings
from dbconnect.routes import PIPELINE_WRITE
from dbsql import query
from salespulse.cli.root import print_json


class TenantNotFoundError(SalespulseError):
    """No tenant of that id or name, or several."""


@click.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option(
    "--role",
    default="owner",
    show_default=True,
    help="What the token says of its holder: owner, manager, viewer or operator.",
)
@click.option(
    "--subject", default="local", show_default=True, help="Whom the token is for; requests are limited by it."
)
@click.option("--currency", help="ISO 4217 code to show beside money, such as GBP.")
@click.option(
    "--hours", type=click.FloatRange(0, min_open=True), default=8.0, show_default=True, help="How long it holds."
)
@click.option("--bare", is_flag=True, help="Print the token alone, for curl.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def token(tenant: str, role: str, subject: str, currency: str | None, hours: float, bare: bool, as_json: bool) -> None:
    """Print a link that opens the dashboard as one tenant.

    The token stands behind `#`, which browsers send to no server. In production the application issues tokens; this signs one with
    the stack's secret.
    """
    settings = load_settings()
    tenant_id, name = find_tenant(settings, tenant)
    signed = issue_token(
        settings, tenant_id=tenant_id, subject=subject, role=role, currency=currency, valid_s=hours * 3600
    )
    url = f"http://{settings.api_host}:{settings.api_port}/#token={signed}"
    if as_json:
        print_json({"tenant_id": tenant_id, "tenant": name, "token": signed, "url": url})
        return
    click.echo(signed if bare else url)


def find_tenant(settings: Settings, wanted: str) -> tuple[str, str | None]:
    """Give a tenant's id and name, by either.

    Raises:
        TenantNotFoundError: none or several.
        UnavailableError: the warehouse can't be reached.
    """
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = connection.execute(query("dashboard.find_tenant"), {"wanted": wanted}).fetchall()
    if not rows:
        raise TenantNotFoundError(f"no tenant has the id or name {wanted!r} in the warehouse; has a refresh run yet?")
    if len(rows) > 1:
        raise TenantNotFoundError(f"several tenants are called {wanted!r}: give the id, such as {rows[0]['tenant_id']}")
    return rows[0]["tenant_id"], rows[0]["name"]
