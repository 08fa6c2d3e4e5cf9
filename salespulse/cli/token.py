"""`salespulse token`: a signed-in link to the dashboard of the local stack."""

import click

from dashboard_api.auth import issue_token
from dbconnect import SalespulseError, Settings, load_settings
from dbconnect.routes import PIPELINE_WRITE
from dbsql import query
from salespulse.cli.output import JSON_OPTION, print_json


class TenantNotFoundError(SalespulseError):
    """No tenant has that id or name, or several have it."""


@click.command()
@click.option("--tenant", required=True, help="The tenant's id in the application, or its name.")
@click.option(
    "--role",
    default="owner",
    show_default=True,
    help="The holder's role: owner, manager, viewer or operator.",
)
@click.option(
    "--subject", default="local", show_default=True, help="Whom the token is for; requests are limited by it."
)
@click.option("--currency", help="ISO 4217 code to show beside money, such as GBP.")
@click.option(
    "--hours", type=click.FloatRange(0, min_open=True), default=8.0, show_default=True, help="How long it is valid."
)
@click.option("--bare", is_flag=True, help="Print the token alone, for curl.")
@JSON_OPTION
def token(tenant: str, role: str, subject: str, currency: str | None, hours: float, bare: bool, as_json: bool) -> None:
    """Print a link that opens the dashboard as one tenant.

    The token follows a `#`, so browsers send it to no server. In production the application issues tokens; this one is
    signed with the stack's secret.
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


def find_tenant(settings: Settings, id_or_name: str) -> tuple[str, str | None]:
    """Return a tenant's id and name, by either.

    Raises:
        TenantNotFoundError: none or several.
        UnavailableError: the warehouse can't be reached.
    """
    with PIPELINE_WRITE.connect(settings) as connection:
        rows = connection.execute(query("dashboard.find_tenant"), {"id_or_name": id_or_name}).fetchall()
    if not rows:
        raise TenantNotFoundError(
            f"no tenant has the id or name {id_or_name!r} in the warehouse; has a refresh run yet?"
        )
    if len(rows) > 1:
        raise TenantNotFoundError(
            f"several tenants are called {id_or_name!r}: give the id, such as {rows[0]['tenant_id']}"
        )
    return rows[0]["tenant_id"], rows[0]["name"]
