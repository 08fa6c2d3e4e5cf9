"""The `salespulse` command line: one module per group of commands, imported when it is used."""

from salespulse.cli.root import main

__all__ = ["main"]
