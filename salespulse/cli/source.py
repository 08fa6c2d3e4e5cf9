"""`salespulse source` and `salespulse migrate`: the schema of Salespulse, and its mapping of the application's."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg

from dbconnect import load_settings
from dbconnect.errors import UnavailableError
from pipelines.migrate import migrate_all
from pipelines.source import check_source, install_source, load_mapping, uninstall_source
from salespulse.cli.output import JSON_OPTION, print_json

_NAME = click.argument("name", required=False)


@click.group()
def source() -> None:
    """Install, uninstall or check the mapping of the application's schema.

    NAME is a folder of dbsql/source/ or a path to one; SALESPULSE_SOURCE unless given.
    """


@source.command()
@_NAME
def install(name: str | None) -> None:
    """Create the mapping's views and capture triggers on the primary; safe to repeat."""
    mapping = load_mapping(name or load_settings().source)
    with _admin() as connection:
        install_source(connection, mapping)
    click.echo(f"{mapping.name}: {len(mapping.capture)} tables captured")


@source.command()
@_NAME
def uninstall(name: str | None) -> None:
    """Remove the mapping's triggers, functions and views; the application's tables and the change log stay."""
    mapping = load_mapping(name or load_settings().source)
    with _admin() as connection:
        is_removed = uninstall_source(connection, mapping)
    click.echo(f"{mapping.name}: " + ("uninstalled" if is_removed else "nothing is installed"))


@source.command()
@_NAME
@JSON_OPTION
def check(name: str | None, as_json: bool) -> None:
    """Compare the mapping with the live database; exit code 1 when anything is missing."""
    mapping = load_mapping(name or load_settings().source)
    with _admin() as connection:
        problems = [str(problem) for problem in check_source(connection, mapping)]
    if as_json:
        print_json({"source": mapping.name, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{mapping.name}: " + (f"{len(problems)} problems" if problems else "all in place"))
    sys.exit(1 if problems else 0)


@click.command()
@JSON_OPTION
def migrate(as_json: bool) -> None:
    """Bring the source's and the warehouse's schema to the newest version; safe to repeat."""
    applied = migrate_all(load_settings())
    if as_json:
        print_json(applied)
        return
    for migration_set, names in applied.items():
        click.echo(f"{migration_set}: " + (", ".join(names) if names else "up to date"))


@contextmanager
def _admin() -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(
            load_settings().url("admin_url"), autocommit=True, application_name="salespulse source"
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise UnavailableError(f"cannot reach the primary: {error}") from error
