"""`salespulse settings`: show the settings in force. They are declared in `dbconnect/settings.py`."""

import click

from dbconnect import load_settings
from dbconnect.settings import GROUPS
from dbconnect.settings_loader import find_sources
from salespulse.cli.output import JSON_OPTION, print_json


@click.command()
@JSON_OPTION
def settings(as_json: bool) -> None:
    """Show every setting in force with its value, its source and its meaning; secrets are masked."""
    loaded = load_settings()
    values = loaded.masked()
    if as_json:
        print_json(values)
        return
    sources = find_sources(loaded)
    for group in GROUPS:
        click.echo(str(group.__doc__).removesuffix("."))
        for name, field in group.model_fields.items():
            # A value must be whole to be copied, whatever the terminal's width.
            click.echo(f"  SALESPULSE_{name.upper()}={values[name]}  ({sources[name]})")
            click.echo(f"      {field.description}")
        click.echo()
