"""The root command. Subcommands are imported on use, so that `--help` is instant."""

import importlib
import sys
from typing import NoReturn

import click

# command name -> module under salespulse.cli, attribute, one line for --help
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Start everything on real sales and watch the dashboards follow."),
    "up": ("stack", "up", "Start the local stack."),
    "down": ("stack", "down", "Stop the local stack."),
    "status": ("status", "status", "Show freshness, lag, what is pending, the last refreshes."),
    "refresh": ("refresh", "refresh", "Apply what changed in the source to facts and rollups."),
    "backfill": ("refresh", "backfill", "Apply every sale of a range again."),
    "verify": ("verify", "verify", "Compare facts and rollups with SQL over the sales."),
    "repair": ("verify", "repair", "Verify, and repair what differs."),
    "rebuild": ("refresh", "rebuild", "Rebuild a rollup from the facts."),
    "reconcile": ("refresh", "reconcile", "Accept another cluster as the source."),
    "migrate": ("source", "migrate", "Bring the schema to the newest version."),
    "source": ("source", "source", "Install, uninstall or check the application's mapping."),
    "load": ("load", "load", "Load sales into the application's tables."),
    "traffic": ("traffic", "traffic", "Make live traffic on the application's tables."),
    "heartbeat": ("processes", "heartbeat", "Write the heartbeat that bounds the replicas' staleness."),
    "bridge": ("processes", "bridge", "Submit background jobs to Dagster and follow their runs."),
    "jobs": ("jobs", "jobs", "List, watch, submit and cancel background jobs."),
    "token": ("token", "token", "Print a link that opens the dashboard as one tenant."),
    "api-key": ("api_key", "api_key", "Make, list and revoke keys for machines."),
    "webhook": ("webhook", "webhook", "Notify other systems of jobs, and let them start jobs."),
    "settings": ("show_settings", "settings", "Show every setting in force, secrets masked."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"salespulse.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="salespulse")
def cli() -> None:
    """Pre-computed, exact sales dashboards beside a PostgreSQL application."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; an error that a user can fix is one line on stderr and exit code 1."""
    try:
        cli.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except Exception as error:
        # Imported here, so that --help does not wait for the database driver.
        from dbconnect import SalespulseError  # noqa: PLC0415

        if not isinstance(error, SalespulseError):
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    sys.exit(0)
