"""The `salespulse` command line: one module per group of commands, imported when it is used."""

from pipelines.cli.root import main

__all__ = ["main"]
