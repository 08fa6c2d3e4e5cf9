"""`salespulse settings`."""

import click
from rich.console import Console
from rich.table import Table

from dbconnect import Settings, load_settings
from salespulse.cli.root import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def settings(as_json: bool) -> None:
    """Show every setting in force, secrets masked."""
    masked = load_settings().masked()
    if as_json:
        print_json(masked)
        return
    table = Table("setting", "value", "meaning")
    for name, value in masked.items():
        table.add_row(f"SALESPULSE_{name.upper()}", value, Settings.model_fields[name].description or "")
    Console().print(table)
