"""Errors of the local stack."""

from dbconnect.errors import SalespulseError


class StackError(SalespulseError):
    """A local server could not be prepared, started or stopped."""


class PortTakenError(StackError):
    """Another process listens on a port that was free when it was planned."""
