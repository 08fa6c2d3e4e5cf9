"""`salespulse migrate`."""

import click

from dbconnect import load_settings
from pipelines.migrate import migrate_all
from salespulse.cli.root import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def migrate(as_json: bool) -> None:
    """Bring the source's and the warehouse's schema to the newest version; safe to repeat."""
    done = migrate_all(load_settings())
    if as_json:
        print_json(done)
        return
    for migration_set, names in done.items():
        click.echo(f"{migration_set}: " + (", ".join(names) if names else "up to date"))
